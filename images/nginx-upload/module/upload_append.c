
/*
 * A file that grows over several requests, see upload_append.h.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "upload_append.h"


static int upload_append_lock(upload_append_t *append);
static int upload_append_open_file(upload_append_t *append);
static int upload_append_load(upload_append_t *append);
static int upload_append_heal(upload_append_t *append);


void
upload_append_init(upload_append_t *append, upload_sink_t *sink)
{
    memset(append, 0, sizeof(upload_append_t));

    append->sink = sink;
    append->length = -1;
    append->kept = -1;
    append->checkpoint_fd = -1;
    upload_takeover_init(&append->takeover);
}


int
upload_append_open(upload_append_t *append)
{
    int             err;
    upload_sink_t  *sink;

    sink = append->sink;
    sink->failed = "opened";

    err = upload_append_lock(append);

    if (err == UPLOAD_APPEND_LOCKED
        && !append->locked
        && append->takeover.wanted != UPLOAD_TAKEOVER_NONE)
    {
        upload_takeover_ask(&append->takeover, append->checkpoint_path);
        return UPLOAD_APPEND_ASKED;
    }

    upload_takeover_close(&append->takeover);

    if (err) {
        return err;
    }

    err = upload_append_load(append);
    if (err) {
        return err;
    }

    if (append->size != append->offset) {

        /* what a killed writer left is not flushed before it is healed */

        if (append->size == append->checkpoint.offset) {
            append->kept = append->size;
        }

        return UPLOAD_APPEND_OFFSET;
    }

    err = upload_append_heal(append);
    if (err) {
        return err;
    }

    append->digest = sink->digest;

    /* what begins the file has a digest already if its kind is the same */

    if (append->checksum
        && (append->offset
            || !(sink->digest.kinds & 1 << append->checksum->kind)))
    {
        sink->body = &append->checksum->digest;
    }

    append->saved = sink->offset;
    sink->started = sink->offset;

    /* what this request brings is to be healed from here, not cut off */

    if (!append->checkpoint.same_boot
        || append->checkpoint.offset > append->size)
    {
        err = upload_append_keep(append);
        if (err) {
            return err;
        }
    }

    if (append->length > sink->offset) {
        sink->reserve = append->length - sink->offset;
        err = upload_sink_reserve(sink);

        /* a part of the room may be ours by then, and is of no use */

        if (err && ftruncate(sink->fd, append->size) == -1) {
            return errno;
        }

        return err;
    }

    return 0;
}


static int
upload_append_lock(upload_append_t *append)
{
    int           fd, err;
    struct stat   st, named;
    struct flock  lock;

    if (append->sink->fd == -1) {
        err = upload_append_open_file(append);
        if (err) {
            return err;
        }
    }

    fd = append->sink->fd;

    if (fstat(fd, &st) == -1) {
        return errno;
    }

    if (!S_ISREG(st.st_mode)) {
        return EINVAL;
    }

    /* of the open file: it ends with the descriptor, however that ends */

    memset(&lock, 0, sizeof(struct flock));
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;

    if (fcntl(fd, F_OFD_SETLK, &lock) == -1) {
        return (errno == EAGAIN || errno == EACCES) ? UPLOAD_APPEND_LOCKED
                                                    : errno;
    }

    append->locked = 1;

    /* it may have been finished, and moved away, before we had the lock */

    if (stat(append->path, &named) == -1) {
        return errno == ENOENT ? UPLOAD_APPEND_LOCKED : errno;
    }

    if (named.st_ino != st.st_ino || named.st_dev != st.st_dev) {
        return UPLOAD_APPEND_LOCKED;
    }

    /* nor is the size what it was before */

    append->size = named.st_size;

    return 0;
}


static int
upload_append_open_file(upload_append_t *append)
{
    int  fd, err;

    /* an upload that has nothing yet may have no file either */

    fd = open(append->path, O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1 && errno == ENOENT && append->offset == 0) {
        fd = open(append->path, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC,
                  S_IRUSR|S_IWUSR);

        if (fd != -1) {
            append->named = 1;

            if (fchmod(fd, append->mode) == -1) {
                err = errno;
                (void) close(fd);
                return err;
            }

        } else if (errno == EEXIST) {
            /* another request was faster by a moment */
            return UPLOAD_APPEND_LOCKED;
        }
    }

    if (fd == -1) {
        return (errno == ENOENT && append->offset) ? UPLOAD_APPEND_OFFSET
                                                   : errno;
    }

    append->sink->fd = fd;

    return 0;
}


static int
upload_append_load(upload_append_t *append)
{
    int    err;
    off_t  offset;

    append->checkpoint_fd = open(append->checkpoint_path,
                                 O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC,
                                 S_IRUSR|S_IWUSR);

    if (append->checkpoint_fd == -1
        || fchmod(append->checkpoint_fd, append->mode) == -1)
    {
        return errno;
    }

    err = upload_checkpoint_load(append->checkpoint_fd, &append->checkpoint);

    if (err && err != ENODATA) {
        return err;
    }

    offset = append->checkpoint.offset;

    /* data without any checkpoint are not what anybody was told of */

    if (!append->checkpoint.same_boot && append->size > offset) {

        if (ftruncate(append->sink->fd, offset) == -1) {
            return errno;
        }

        append->size = offset;
    }

    if (err == ENODATA) {

        /* from now on the file counts, even if this request is killed */

        append->named = 1;
        append->checkpoint.same_boot = 1;
        upload_digest_init(&append->checkpoint.digest,
                           append->sink->digest.kinds);

        /* both slots, so that a full disk has room for the next ones, too */

        err = upload_checkpoint_save(append->checkpoint_fd,
                                     &append->checkpoint, 0);

        return err ? err : upload_checkpoint_save(append->checkpoint_fd,
                                                  &append->checkpoint, 0);
    }

    return 0;
}


/* the digest of what the file has, from as little of it as possible */

static int
upload_append_heal(upload_append_t *append)
{
    off_t           from;
    upload_sink_t  *sink;

    sink = append->sink;
    from = append->checkpoint.offset;

    if (from <= append->size
        && (append->checkpoint.digest.kinds & sink->digest.kinds)
           == sink->digest.kinds)
    {
        sink->digest = append->checkpoint.digest;

    } else {
        from = 0;
    }

    sink->offset = append->size;

    return sink->digest.kinds ? upload_sink_read_back(sink, from) : 0;
}


int
upload_append_due(upload_append_t *append)
{
    return append->sink->offset - append->saved >= UPLOAD_APPEND_INTERVAL;
}


int
upload_append_keep(upload_append_t *append)
{
    int             err;
    upload_sink_t  *sink;

    sink = append->sink;
    append->kept = -1;

    if (append->discard) {

        if (ftruncate(sink->fd, append->offset) == -1) {
            sink->failed = "cut back to its offset";
            return errno;
        }

        sink->offset = append->offset;
        sink->digest = append->digest;

        if (!sink->sync) {

            /* no slot that a crash may bring back knows of more than that */

            append->checkpoint.sequence = 0;
        }
    }

    err = upload_sink_flush(sink);
    if (err) {
        return err;
    }

    append->checkpoint.offset = sink->offset;
    append->checkpoint.digest = sink->digest;

    err = upload_checkpoint_save(append->checkpoint_fd, &append->checkpoint,
                                 sink->sync);
    if (err) {
        sink->failed = "given a checkpoint";
        return err;
    }

    append->saved = sink->offset;

    if (append->named) {
        err = upload_sink_flush_name(sink, append->path);
        if (err) {
            return err;
        }

        append->named = 0;
    }

    append->kept = sink->offset;

    return 0;
}


int
upload_append_finish(upload_append_t *append)
{
    upload_sink_t  *sink;

    sink = append->sink;

    if (append->checksum
        && !upload_checksum_matches(append->checksum,
                                    sink->body ? sink->body : &sink->digest))
    {
        append->discard = 1;
        return UPLOAD_APPEND_CHECKSUM;
    }

    return upload_append_keep(append);
}


void
upload_append_close(upload_append_t *append)
{
    (void) upload_sink_close(append->sink);
    upload_takeover_close(&append->takeover);

    if (append->checkpoint_fd != -1) {
        (void) close(append->checkpoint_fd);
        append->checkpoint_fd = -1;
    }
}
