
/*
 * How one request asks another for its file, see upload_takeover.h.
 */


#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "upload_takeover.h"


static int upload_takeover_conflict(int fd, short type);


void
upload_takeover_init(upload_takeover_t *takeover)
{
    takeover->wanted = UPLOAD_TAKEOVER_NONE;
    takeover->fd = -1;
}


int
upload_takeover_parse(upload_takeover_t *takeover, const char *text,
    size_t len)
{
    if (len == 4 && memcmp(text, "idle", 4) == 0) {
        takeover->wanted = UPLOAD_TAKEOVER_IDLE;
        return 0;
    }

    if (len == 3 && memcmp(text, "now", 3) == 0) {
        takeover->wanted = UPLOAD_TAKEOVER_NOW;
        return 0;
    }

    return -1;
}


void
upload_takeover_ask(upload_takeover_t *takeover, const char *checkpoint)
{
    struct flock  lock;

    if (takeover->fd == -1) {
        takeover->fd = open(checkpoint,
                            O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

        if (takeover->fd == -1) {
            return;
        }
    }

    memset(&lock, 0, sizeof(struct flock));
    lock.l_whence = SEEK_SET;
    lock.l_len = 1;

    if (takeover->wanted == UPLOAD_TAKEOVER_NOW) {
        lock.l_type = F_WRLCK;
        lock.l_start = 1;

    } else {
        lock.l_type = F_RDLCK;
    }

    (void) fcntl(takeover->fd, F_OFD_SETLK, &lock);
}


void
upload_takeover_close(upload_takeover_t *takeover)
{
    if (takeover->fd != -1) {
        (void) close(takeover->fd);
        takeover->fd = -1;
    }
}


upload_takeover_e
upload_takeover_asked(int fd)
{
    switch (upload_takeover_conflict(fd, F_WRLCK)) {

    case F_WRLCK:
        return UPLOAD_TAKEOVER_NOW;

    case F_RDLCK:

        /* it may stand before another one, which is not as patient */

        return (upload_takeover_conflict(fd, F_RDLCK) == F_WRLCK)
               ? UPLOAD_TAKEOVER_NOW : UPLOAD_TAKEOVER_IDLE;

    default: /* F_UNLCK */
        return UPLOAD_TAKEOVER_NONE;
    }
}


/* the type of a lock that keeps us from having that one, of the whole file */

static int
upload_takeover_conflict(int fd, short type)
{
    struct flock  lock;

    memset(&lock, 0, sizeof(struct flock));
    lock.l_type = type;
    lock.l_whence = SEEK_SET;

    return (fcntl(fd, F_OFD_GETLK, &lock) == -1) ? F_UNLCK : lock.l_type;
}
