/* Preloaded into the extension: moves its wall clock by the nanoseconds in a file, which may change at any time.
 *
 * A lock with a timeout waits by the wall clock, as it does with a glibc before 2.30 and in the layer's interpreter.
 * No headers, because the compiler of the tests has none.
 */

enum { REALTIME = 0, MONOTONIC = 1, REALTIME_COARSE = 5, READ_ONLY = 0, READ = 1, SHARED = 1, TIMED_OUT = 110 };
#define SECOND 1000000000L
#if defined(__x86_64__)
#define CLOCK_GETTIME 228
#else
#define CLOCK_GETTIME 113
#endif

struct timespec { long seconds, nanoseconds; };
struct timeval { long seconds, microseconds; };

extern long syscall(long number, ...);
extern char *getenv(const char *name);
extern int open(const char *path, int flags, ...);
extern void *mmap(void *address, unsigned long length, int protection, int flags, int file, long offset);
extern int sem_trywait(void *semaphore);
extern int usleep(unsigned microseconds);
extern int *__errno_location(void);

static volatile long *shift;

static long now(int clock)
{
    struct timespec time = {0, 0};
    if (!shift)
        shift = mmap(0, sizeof *shift, READ, SHARED, open(getenv("WALL_CLOCK_SHIFT"), READ_ONLY), 0);
    syscall(CLOCK_GETTIME, clock, &time);
    return time.seconds * SECOND + time.nanoseconds + (clock == REALTIME || clock == REALTIME_COARSE ? *shift : 0);
}

int clock_gettime(int clock, struct timespec *time)
{
    long now_ns;
    if (clock != REALTIME && clock != REALTIME_COARSE)
        return syscall(CLOCK_GETTIME, clock, time);
    now_ns = now(clock);
    time->seconds = now_ns / SECOND;
    time->nanoseconds = now_ns % SECOND;
    return 0;
}

int gettimeofday(struct timeval *time, void *zone)
{
    long now_ns = now(REALTIME);
    time->seconds = now_ns / SECOND;
    time->microseconds = now_ns % SECOND / 1000;
    return 0;
}

long time(long *result)
{
    long seconds = now(REALTIME) / SECOND;
    if (result)
        *result = seconds;
    return seconds;
}

static int wait_until(void *semaphore, long until_ns)
{
    while (sem_trywait(semaphore)) {
        if (now(REALTIME) >= until_ns) {
            *__errno_location() = TIMED_OUT;
            return -1;
        }
        usleep(2000);
    }
    return 0;
}

int sem_timedwait(void *semaphore, const struct timespec *until)
{
    return wait_until(semaphore, until->seconds * SECOND + until->nanoseconds);
}

int sem_clockwait(void *semaphore, int clock, const struct timespec *until)
{
    return wait_until(semaphore, now(REALTIME) + until->seconds * SECOND + until->nanoseconds - now(clock));
}
