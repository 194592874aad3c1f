// Preloaded, it sets the clock back by an hour as soon as the file $CLOCK_BACK is there. (libfaketime can have what does
// not depend on the clock, such as Python's time.sleep, either go back as well or fail.)
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
	int failed = syscall(SYS_clock_gettime, clock, now);
	const char *back = getenv("CLOCK_BACK");
	if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && back && !access(back, F_OK))
		now->tv_sec -= 3600;
	return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
	struct timespec found;
	(void)zone;
	int failed = clock_gettime(CLOCK_REALTIME, &found);
	now->tv_sec = found.tv_sec;
	now->tv_usec = found.tv_nsec / 1000;
	return failed;
}

time_t time(time_t *now) {
	struct timespec found;
	clock_gettime(CLOCK_REALTIME, &found);
	if (now)
		*now = found.tv_sec;
	return found.tv_sec;
}
