// cnd_timedwait against the faked clock, preloaded together with libfaketime, which knows pthread_cond_timedwait only.
// librdkafka waits by this one, until a moment of the wall clock. As when a machine's clock is set, a wait that is under
// way ends at once where the clock jumps past that moment, and lasts longer where it jumps back.

#include <errno.h>
#include <pthread.h>
#include <threads.h>
#include <time.h>

static const long LOOK_NS = 20000000;  // how late a jump is seen

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    for (;;) {
        struct timespec now, look;
        timespec_get(&now, TIME_UTC);
        const long long left = (until->tv_sec - now.tv_sec) * 1000000000LL + until->tv_nsec - now.tv_nsec;
        if (left <= 0) return thrd_timedout;
        clock_gettime(CLOCK_MONOTONIC, &look);
        look.tv_nsec += left < LOOK_NS ? left : LOOK_NS;
        if (look.tv_nsec >= 1000000000) {
            look.tv_nsec -= 1000000000;
            look.tv_sec += 1;
        }
        const int error = pthread_cond_clockwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, CLOCK_MONOTONIC, &look);
        if (error == 0) return thrd_success;
        if (error != ETIMEDOUT) return thrd_error;
    }
}
