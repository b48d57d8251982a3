
/*
 * Preloaded into an nginx that runs in valgrind: that lets one thread of a
 * process run at a time, and does not know that F_OFD_SETLKW waits.  A thread
 * which waited in the kernel would keep the one that has the lock from giving
 * it back.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>


int
fcntl(int fd, int cmd, ...)
{
    int              rc;
    void            *arg;
    va_list          args;
    struct timespec  pause = { 0, 1000000 };

    va_start(args, cmd);
    arg = va_arg(args, void *);
    va_end(args);

    if (cmd != F_OFD_SETLKW) {
        return syscall(SYS_fcntl, fd, cmd, arg);
    }

    for ( ;; ) {
        rc = syscall(SYS_fcntl, fd, F_OFD_SETLK, arg);

        if (rc == 0 || errno != EAGAIN) {
            return rc;
        }

        nanosleep(&pause, NULL);
    }
}
