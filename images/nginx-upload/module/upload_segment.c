
/*
 * One range of a file that arrives in ranges, see upload_segment.h: how it is
 * opened and claimed.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "upload_segment_private.h"


/* a file that is renamed or removed so often meanwhile is in other hands */
#define UPLOAD_SEGMENT_TRIES   5


static int upload_segment_start(upload_segment_t *segment);
static int upload_segment_open_file(upload_segment_t *segment);
static int upload_segment_join(upload_segment_t *segment);
static int upload_segment_begin(upload_segment_t *segment);
static int upload_segment_clean(upload_segment_t *segment);


void
upload_segment_init(upload_segment_t *segment, upload_sink_t *sink)
{
    memset(segment, 0, sizeof(upload_segment_t));

    segment->sink = sink;
}


int
upload_segment_open(upload_segment_t *segment)
{
    int             err;
    upload_sink_t  *sink;

    sink = segment->sink;
    sink->failed = "opened";
    segment->kinds = sink->digest.kinds;

    err = upload_segment_start(segment);

    if (err == 0 && segment->total && segment->reserve) {
        sink->reserve = segment->last - segment->first + 1;
    }

    if (err == 0 && sink->reserve) {
        err = upload_sink_reserve(sink);

        if (err && segment->total == 0) {
            (void) upload_segment_remove(segment);
        }
    }

    if (err) {
        /* others wait for the locks */
        (void) upload_sink_close(sink);
    }

    return err;
}


static int
upload_segment_start(upload_segment_t *segment)
{
    int       err;
    unsigned  tries;

    if (segment->total
        && (segment->first < 0 || segment->first > segment->last
            || segment->last >= segment->total))
    {
        return EINVAL;
    }

    /* the locks have to fit, too */

    if (segment->last > (off_t) (LLONG_MAX - UPLOAD_SEGMENT_DATA)) {
        return EFBIG;
    }

    tries = UPLOAD_SEGMENT_TRIES;

    do {
        (void) upload_sink_close(segment->sink);
        err = upload_segment_open_file(segment);
    } while (err == ESTALE && --tries);

    if (err) {
        return err == ESTALE ? UPLOAD_SEGMENT_CLAIMED : err;
    }

    err = segment->total ? upload_segment_join(segment)
                         : upload_segment_clean(segment);
    if (err) {
        return err;
    }

    segment->sink->offset = segment->total ? segment->first : 0;
    segment->sink->started = segment->sink->offset;

    return upload_segment_lock(segment, F_OFD_SETLK, F_UNLCK,
                               UPLOAD_SEGMENT_UPDATE, 1);
}


/* ESTALE: once more */

static int
upload_segment_open_file(upload_segment_t *segment)
{
    int            fd, err;
    struct stat    st;
    upload_sink_t  *sink;

    sink = segment->sink;
    segment->created = 0;

    fd = open(segment->path, O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1 && errno == ENOENT) {
        fd = open(segment->path, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC,
                  S_IRUSR|S_IWUSR);

        if (fd == -1) {
            return errno == EEXIST ? ESTALE : errno;
        }

        segment->created = 1;
    }

    if (fd == -1) {
        return errno;
    }

    sink->fd = fd;

    if (segment->created && fchmod(fd, segment->mode) == -1) {
        return errno;
    }

    if (fstat(fd, &st) == -1) {
        return errno;
    }

    if (!S_ISREG(st.st_mode)) {
        return EINVAL;
    }

    /*
     * The claim is taken under the update: who has it alone then knows that
     * nobody is on the way, and nobody who only looks is in the way.
     */

    err = upload_segment_lock(segment, F_OFD_SETLKW, F_WRLCK,
                              UPLOAD_SEGMENT_UPDATE, 1);
    if (err) {
        return err;
    }

    err = upload_segment_lock(segment, F_OFD_SETLK,
                              segment->total ? F_RDLCK : F_WRLCK,
                              UPLOAD_SEGMENT_CLAIM, 1);
    if (err) {
        return err;
    }

    return upload_segment_named(segment);
}


static int
upload_segment_join(upload_segment_t *segment)
{
    int          err, lost;
    struct stat  st;

    err = upload_segment_read_state(segment);

    if (fstat(segment->sink->fd, &st) == -1) {
        return errno;
    }

    /* a state without its file, or of one that is gone, says nothing */

    switch (err) {

    case 0:
        lost = st.st_size < upload_segment_end(&segment->ranges);
        break;

    case ENOENT:
        lost = 1;
        break;

    case UPLOAD_SEGMENT_TOTAL:
    case UPLOAD_SEGMENT_CORRUPT:
        lost = st.st_size == 0;
        break;

    default:
        lost = 0;
        break;
    }

    if (lost) {
        err = upload_segment_begin(segment);
    }

    if (err) {
        return err;
    }

    return upload_segment_continue(segment);
}


static int
upload_segment_begin(upload_segment_t *segment)
{
    int  err;

    /* not while others write to it, who have lost their state meanwhile */

    err = upload_segment_lock(segment, F_OFD_SETLK, F_WRLCK,
                              UPLOAD_SEGMENT_CLAIM, 1);
    if (err) {
        return err;
    }

    upload_ranges_free(&segment->ranges);
    upload_ranges_init(&segment->ranges, segment->total);

    err = upload_segment_clean(segment);
    if (err) {
        return err;
    }

    err = upload_segment_write_state(segment);
    if (err) {
        return err;
    }

    return upload_segment_lock(segment, F_OFD_SETLK, F_RDLCK,
                               UPLOAD_SEGMENT_CLAIM, 1);
}


static int
upload_segment_clean(upload_segment_t *segment)
{
    int  err;

    /* first what speaks of the bytes, then the bytes */

    err = upload_segment_forget(segment);
    if (err) {
        return err;
    }

    if (ftruncate(segment->sink->fd, 0) == -1) {
        return errno;
    }

    upload_digest_init(&segment->sink->digest, segment->kinds);
    segment->created = 1;

    return 0;
}


int
upload_segment_remove(upload_segment_t *segment)
{
    int  err;

    if (segment->sink->fd == -1) {
        return 0;
    }

    err = upload_segment_named(segment);

    if (err) {
        return err == ESTALE ? 0 : err;
    }

    return unlink(segment->path) == -1 ? errno : 0;
}


void
upload_segment_close(upload_segment_t *segment)
{
    (void) upload_sink_close(segment->sink);

    upload_ranges_free(&segment->ranges);
}


int
upload_segment_lock(upload_segment_t *segment, int command, short type,
    off_t start, off_t len)
{
    struct flock  lock;

    memset(&lock, 0, sizeof(struct flock));
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = start;
    lock.l_len = len;

    while (fcntl(segment->sink->fd, command, &lock) == -1) {

        switch (errno) {

        case EINTR:
            continue;

        case EAGAIN:
        case EACCES:
            return UPLOAD_SEGMENT_CLAIMED;

        default:
            return errno;
        }
    }

    return 0;
}


int
upload_segment_named(upload_segment_t *segment)
{
    struct stat  st, named;

    if (fstat(segment->sink->fd, &st) == -1) {
        return errno;
    }

    if (stat(segment->path, &named) == -1) {
        return errno == ENOENT ? ESTALE : errno;
    }

    return (named.st_ino == st.st_ino && named.st_dev == st.st_dev) ? 0
                                                                    : ESTALE;
}
