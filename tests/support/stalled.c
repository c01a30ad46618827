/* Preloaded into the extension: threads that never get on, as on a machine that has no CPU for them.
 *
 * OPTION_START: the worker does not become ready. OPTION_SENDERS: threads after the first three (warm-up, listener and
 * worker) do not begin. No headers, because the compiler of the tests has none.
 */

#define NEXT ((void *)-1L)

extern void *dlsym(void *library, const char *name);
extern int pause(void);
extern int getpid(void);
#if defined(__x86_64__)
#define GETTID 186
#define GETRANDOM 318
#else
#define GETTID 178
#define GETRANDOM 278
#endif
#define THREADS 3
#define SPOOL_ID_BYTES 4

static void *stall(void *argument)
{
    for (;;)
        pause();
    return argument;
}

#ifdef OPTION_SENDERS
static int threads;

int pthread_create(void *thread, const void *attributes, void *(*routine)(void *), void *argument)
{
    int (*create)(void *, const void *, void *(*)(void *), void *) = dlsym(NEXT, "pthread_create");
    threads += 1;
    return create(thread, attributes, threads > THREADS ? stall : routine, argument);
}
#endif

#ifdef OPTION_START
/* The worker asks for these bytes while it builds the spool; the main thread may do so, too. The layer's interpreter,
 * which was built for an older C library, asks by `syscall`.
 */
long syscall(long number, long first, long second, long third, long fourth, long fifth, long sixth)
{
    long (*call)(long, ...) = dlsym(NEXT, "syscall");
    if (number == GETRANDOM && second == SPOOL_ID_BYTES && call(GETTID) != getpid())
        stall(0);
    return call(number, first, second, third, fourth, fifth, sixth);
}

long getrandom(void *buffer, unsigned long size, unsigned flags)
{
    return syscall(GETRANDOM, (long)buffer, size, flags, 0, 0, 0);
}
#endif
