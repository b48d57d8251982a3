
/*
 * The digest of a file in ranges: what is hashed as it comes, what is read
 * back, and what is taken back because it may be written again.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "upload_segment_private.h"


static int upload_segment_rewind(upload_segment_t *segment, upload_checkpoint_t
    *cp);
static off_t upload_segment_calm(upload_segment_t *segment, off_t from, off_t
    to);


/* whether the sink hashes what comes */

int
upload_segment_continue(upload_segment_t *segment)
{
    int                   err, busy;
    off_t                 end;
    upload_sink_t        *sink;
    upload_checkpoint_t   cp;

    sink = segment->sink;
    end = segment->last + 1;

    busy = upload_segment_calm(segment, segment->first, end) != end;

    err = upload_segment_load(segment, &cp);
    if (err) {
        return err;
    }

    if (cp.offset > segment->first) {
        err = upload_segment_rewind(segment, &cp);
        if (err) {
            return err;
        }

    } else if (busy) {
        /* what others hash there may not be what the file has in the end */

        err = upload_segment_save(segment, &cp);
        if (err) {
            return err;
        }
    }

    err = upload_segment_lock(segment, F_OFD_SETLK, F_RDLCK,
                              UPLOAD_SEGMENT_DATA + segment->first,
                              end - segment->first);
    if (err) {
        return err;
    }

    if ((cp.digest.kinds & segment->kinds) != segment->kinds) {
        cp.offset = 0;
        upload_digest_init(&cp.digest, segment->kinds);
    }

    segment->sequence = cp.sequence;
    segment->continues = segment->kinds && !busy
                         && cp.offset == segment->first;

    if (segment->continues) {
        sink->digest = cp.digest;

    } else {
        upload_digest_init(&sink->digest, 0);
    }

    return 0;
}


/*
 * Bytes that were hashed are about to be written again.  A client that did
 * not get an answer sends its latest range again: the checkpoint before it
 * is still in the other slot then.
 */

static int
upload_segment_rewind(upload_segment_t *segment, upload_checkpoint_t *cp)
{
    int                  fd, err;
    char                 slot[UPLOAD_CHECKPOINT_SLOT];
    ssize_t              n;
    upload_checkpoint_t  before;

    fd = open(segment->checkpoint_path, O_RDONLY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {
        return errno;
    }

    n = pread(fd, slot, UPLOAD_CHECKPOINT_SLOT,
              (cp->sequence + 1) % 2 * UPLOAD_CHECKPOINT_SLOT);
    err = n == -1 ? errno : 0;

    (void) close(fd);

    if (err == 0 && upload_checkpoint_parse(slot, n, &before) == 0
        && before.sequence + 1 == cp->sequence
        && before.offset <= segment->first)
    {
        cp->offset = before.offset;
        cp->digest = before.digest;

    } else {
        cp->offset = 0;
        upload_digest_init(&cp->digest, segment->kinds);
    }

    return upload_segment_save(segment, cp);
}


/* by what this request has hashed, and by what it reads back */

int
upload_segment_advance(upload_segment_t *segment, upload_checkpoint_t *cp,
    off_t most)
{
    int             err;
    off_t           to;
    upload_sink_t  *sink;

    sink = segment->sink;

    if (segment->continues && cp->sequence == segment->sequence) {
        cp->offset = segment->last + 1;
        cp->digest = sink->digest;

    } else if ((cp->digest.kinds & segment->kinds) != segment->kinds) {
        cp->offset = 0;
        upload_digest_init(&cp->digest, segment->kinds);
    }

    to = upload_ranges_prefix(&segment->ranges);

    if (to - cp->offset > most) {
        to = cp->offset + most;
    }

    to = upload_segment_calm(segment, cp->offset, to);

    if (to <= cp->offset) {
        return 0;
    }

    sink->offset = to;
    sink->digest = cp->digest;

    err = upload_sink_read_back(sink, cp->offset);
    if (err) {
        return err;
    }

    cp->offset = to;
    cp->digest = sink->digest;

    return 0;
}


/* how far from there no other request writes */

static off_t
upload_segment_calm(upload_segment_t *segment, off_t from, off_t to)
{
    struct flock  lock;

    while (from < to) {
        memset(&lock, 0, sizeof(struct flock));
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_start = UPLOAD_SEGMENT_DATA + from;
        lock.l_len = to - from;

        if (fcntl(segment->sink->fd, F_OFD_GETLK, &lock) == -1) {
            return from;
        }

        if (lock.l_type == F_UNLCK) {
            break;
        }

        /* some other's, not the nearest */

        to = lock.l_start - UPLOAD_SEGMENT_DATA;
    }

    return from < to ? to : from;
}


/* none, or one that is not valid, is one of nothing */

int
upload_segment_load(const upload_segment_t *segment, upload_checkpoint_t *cp)
{
    int  fd, err;

    memset(cp, 0, sizeof(upload_checkpoint_t));

    fd = open(segment->checkpoint_path, O_RDONLY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {
        return errno == ENOENT ? 0 : errno;
    }

    err = upload_checkpoint_load(fd, cp);

    (void) close(fd);

    return err == ENODATA ? 0 : err;
}


int
upload_segment_save(upload_segment_t *segment, upload_checkpoint_t *cp)
{
    int  fd, err;

    segment->sink->failed = "given a checkpoint";

    fd = open(segment->checkpoint_path, O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC,
              S_IRUSR|S_IWUSR);

    if (fd == -1) {
        return errno;
    }

    if (fchmod(fd, segment->mode) == -1) {
        err = errno;

    } else {
        err = upload_checkpoint_save(fd, cp, segment->sink->sync);
    }

    (void) close(fd);

    return err;
}
