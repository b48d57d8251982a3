
/*
 * Preloaded into nginx: files in a directory of the test say which calls wait
 * or fail.
 *
 *     hold-fdatasync, hold-pwritev    such a call waits while this exists, if
 *                                     the file's path has this text in it;
 *                                     held-... says that one waits
 *     fail                            errno and offset: writes beyond it fail
 *     short                           writes are interrupted, or write less
 *     count-read                      files whose path has this text in it, but
 *                                     no checkpoints: "read" gets a line with
 *                                     the size of each read at an offset
 */


#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>


static char  *directory;


__attribute__((constructor))
static void
init(void)
{
    /* nginx clears its environment later */
    directory = getenv("UPLOAD_TEST_DISK");
    directory = directory ? strdup(directory) : NULL;
}


/* the contents of a file in the directory of the test: -1 if there is none */

static int
told(const char *name, char *text)
{
    int      fd;
    char     path[PATH_MAX];
    ssize_t  n;

    if (directory == NULL) {
        return -1;
    }

    snprintf(path, sizeof(path), "%s/%s", directory, name);

    fd = open(path, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    n = read(fd, text, PATH_MAX - 1);
    close(fd);

    if (n < 0) {
        return -1;
    }

    text[n] = '\0';

    return 0;
}


static void
wait_for(const char *call, int fd)
{
    int      held;
    char     name[64], path[PATH_MAX], link[PATH_MAX], text[PATH_MAX];
    ssize_t  n;

    snprintf(name, sizeof(name), "hold-%s", call);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

    n = readlink(link, path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = '\0';

    for (held = 0; told(name, text) == 0 && strstr(path, text); held = 1) {

        if (!held) {
            snprintf(link, sizeof(link), "%s/held-%s", directory, call);
            close(open(link, O_WRONLY|O_CREAT|O_CLOEXEC, 0600));
        }

        usleep(1000);
    }
}


int
fdatasync(int fd)
{
    static int  (*next)(int);

    wait_for("fdatasync", fd);

    if (next == NULL) {
        *(void **) &next = dlsym(RTLD_NEXT, "fdatasync");
    }

    return next(fd);
}


ssize_t
pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
    int                  i, number;
    char                 text[PATH_MAX];
    long long            limit;
    size_t               size;
    struct iovec         one;
    static atomic_uint   calls;
    static ssize_t     (*next)(int, const struct iovec *, int, off64_t);

    wait_for("pwritev", fd);

    if (next == NULL) {
        *(void **) &next = dlsym(RTLD_NEXT, "pwritev64");
    }

    for (i = 0, size = 0; i < n; i++) {
        size += iov[i].iov_len;
    }

    if (told("fail", text) == 0
        && sscanf(text, "%d %lld", &number, &limit) == 2
        && offset + (long long) size > limit)
    {
        errno = number;
        return -1;
    }

    if (told("short", text) == 0) {

        if (calls++ % 3 == 0) {
            errno = EINTR;
            return -1;
        }

        one = iov[0];
        one.iov_len = 1 + calls * 7919 % one.iov_len;

        return next(fd, &one, 1, offset);
    }

    return next(fd, iov, n, offset);
}


ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    return pwritev64(fd, iov, n, offset);
}


ssize_t
pread64(int fd, void *buf, size_t size, off64_t offset)
{
    int              log;
    char             path[PATH_MAX], link[PATH_MAX], text[PATH_MAX];
    ssize_t          n, len;
    static ssize_t (*next)(int, void *, size_t, off64_t);

    if (next == NULL) {
        *(void **) &next = dlsym(RTLD_NEXT, "pread64");
    }

    n = next(fd, buf, size, offset);

    if (n <= 0 || told("count-read", text) == -1) {
        return n;
    }

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

    len = readlink(link, path, sizeof(path) - 1);
    path[len < 0 ? 0 : len] = '\0';

    if (strstr(path, text) == NULL || strstr(path, ".checkpoint")) {
        return n;
    }

    snprintf(path, sizeof(path), "%s/read", directory);

    log = open(path, O_WRONLY|O_CREAT|O_APPEND|O_CLOEXEC, 0600);

    if (log != -1) {
        dprintf(log, "%zd\n", n);
        close(log);
    }

    return n;
}


ssize_t
pread(int fd, void *buf, size_t size, off_t offset)
{
    return pread64(fd, buf, size, offset);
}


/* what fortified code calls */

ssize_t
__pread_chk(int fd, void *buf, size_t size, off_t offset, size_t len)
{
    (void) len;

    return pread64(fd, buf, size, offset);
}


ssize_t
__pread64_chk(int fd, void *buf, size_t size, off64_t offset, size_t len)
{
    (void) len;

    return pread64(fd, buf, size, offset);
}
