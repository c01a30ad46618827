/* Preloaded into the extension: moves its wall clock by the nanoseconds in a file, which may change at any time, and
 * its monotonic clock by those that follow.
 *
 * A lock with a timeout waits by the wall clock, as it does with a glibc before 2.30 and in the layer's interpreter.
 * No headers, because the compiler of the tests has none.
 */

enum { REALTIME = 0, MONOTONIC = 1, REALTIME_COARSE = 5, MONOTONIC_COARSE = 6, BOOT_TIME = 7, READ_ONLY = 0, READ = 1, SHARED = 1, TIMED_OUT = 110 };
#define SECOND 1000000000L
#if defined(__x86_64__)
#define CLOCK_GETTIME 228
#define CLOCK_NANOSLEEP 230
#else
#define CLOCK_GETTIME 113
#define CLOCK_NANOSLEEP 115
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

static long shift_of(int clock)
{
    if (clock == REALTIME || clock == REALTIME_COARSE)
        return shift[0];
    return clock == MONOTONIC || clock == MONOTONIC_COARSE || clock == BOOT_TIME ? shift[1] : 0;
}

static long now(int clock)
{
    struct timespec time = {0, 0};
    if (!shift)
        shift = mmap(0, 2 * sizeof *shift, READ, SHARED, open(getenv("WALL_CLOCK_SHIFT"), READ_ONLY), 0);
    syscall(CLOCK_GETTIME, clock, &time);
    return time.seconds * SECOND + time.nanoseconds + shift_of(clock);
}

int clock_gettime(int clock, struct timespec *time)
{
    long now_ns = now(clock);
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

int clock_nanosleep(int clock, int flags, const struct timespec *until, struct timespec *left)
{
    struct timespec real = *until;
    long until_ns;
    if (flags & 1) {
        until_ns = until->seconds * SECOND + until->nanoseconds - shift_of(clock);
        real.seconds = until_ns / SECOND;
        real.nanoseconds = until_ns % SECOND;
    }
    return syscall(CLOCK_NANOSLEEP, clock, flags, &real, left) ? *__errno_location() : 0;
}
