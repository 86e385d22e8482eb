/* What the operating system says to one node of a chaos run, bent on purpose; loaded with LD_PRELOAD.
 *
 * A control file of 16 bytes, named by CHAOS_CONTROL, is mapped into every process of the node:
 *   int64  nanoseconds added to the wall clock (CLOCK_REALTIME and what is made of it)
 *   int64  1: fsync and fdatasync do not return while it is so, a disk that hangs; 2: they fail, a broken one
 * CLOCK_MONOTONIC and CLOCK_BOOTTIME are never touched: no real machine steps those.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL
#define LOOK_NS 20000000L

struct control { volatile int64_t wall_offset_ns, disk; };

static struct control none;
static struct control *control = &none;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CHAOS_CONTROL");
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (path == NULL)
        return;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        control = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (real_clock_gettime == NULL)
        begin();
    int failed = real_clock_gettime(clock, now);
    if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t told = now->tv_sec * SECOND_NS + now->tv_nsec + control->wall_offset_ns;
        now->tv_sec = told / SECOND_NS;
        now->tv_nsec = told % SECOND_NS;
    }
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec told;
    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &told);
    now->tv_sec = told.tv_sec;
    now->tv_usec = told.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *now)
{
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    if (now != NULL)
        *now = told.tv_sec;
    return told.tv_sec;
}

static int disk_fails(void)
{
    const struct timespec look = {0, LOOK_NS};
    while (control->disk == 1)
        nanosleep(&look, NULL);
    if (control->disk != 2)
        return 0;
    errno = EIO;
    return 1;
}

int fsync(int file)
{
    return disk_fails() ? -1 : real_fsync(file);
}

int fdatasync(int file)
{
    return disk_fails() ? -1 : real_fdatasync(file);
}
