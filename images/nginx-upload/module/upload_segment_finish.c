
/*
 * The end of a range: it is recorded, and the last one completes the file.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "upload_segment_private.h"


static int upload_segment_finish_whole(upload_segment_t *segment);
static int upload_segment_record(upload_segment_t *segment);
static int upload_segment_complete(upload_segment_t *segment);


int
upload_segment_finish(upload_segment_t *segment)
{
    int             err;
    upload_sink_t  *sink;

    if (segment->total == 0) {
        return upload_segment_finish_whole(segment);
    }

    sink = segment->sink;

    if (sink->offset != segment->last + 1) {
        sink->failed = "recorded";
        return EINVAL;
    }

    err = upload_sink_flush(sink);
    if (err) {
        return err;
    }

    sink->failed = "recorded";

    err = upload_segment_lock(segment, F_OFD_SETLKW, F_WRLCK,
                              UPLOAD_SEGMENT_UPDATE, 1);
    if (err) {
        return err;
    }

    err = upload_segment_record(segment);

    if (err == 0 && upload_ranges_complete(&segment->ranges)) {
        (void) upload_segment_lock(segment, F_OFD_SETLK, F_UNLCK,
                                   UPLOAD_SEGMENT_UPDATE, 1);

        err = upload_segment_complete(segment);

    } else {
        /* all of them at once: the next one may be the last */

        (void) upload_segment_lock(segment, F_OFD_SETLK, F_UNLCK,
                                   UPLOAD_SEGMENT_CLAIM, 0);
    }

    if (!segment->complete) {
        sink->offset = segment->last + 1;
        upload_digest_init(&sink->digest, 0);
    }

    return err;
}


static int
upload_segment_finish_whole(upload_segment_t *segment)
{
    int             err;
    upload_sink_t  *sink;

    sink = segment->sink;

    if (sink->reserved && ftruncate(sink->fd, sink->offset) == -1) {
        sink->failed = "cut to its size";
        return errno;
    }

    sink->reserved = 0;

    err = upload_sink_flush(sink);
    if (err) {
        return err;
    }

    err = upload_sink_flush_name(segment->sink, segment->path);
    if (err) {
        return err;
    }

    segment->complete = 1;

    return 0;
}


/* if the ranges are complete after it, the claim is ours alone */

static int
upload_segment_record(upload_segment_t *segment)
{
    int                   err, claimed;
    off_t                 len, most, offset;
    unsigned              fresh, again;
    struct stat           st;
    upload_ranges_e       rc;
    upload_checkpoint_t   cp;
    const upload_sink_t  *sink;

    sink = segment->sink;

    err = upload_segment_named(segment);

    if (err == 0) {
        err = upload_segment_read_state(segment);
    }

    if (err) {
        return (err == ESTALE || err == ENOENT) ? UPLOAD_SEGMENT_CLAIMED : err;
    }

    fresh = segment->ranges.n == 0;
    again = segment->first < upload_ranges_prefix(&segment->ranges);

    rc = upload_ranges_add(&segment->ranges, segment->first, segment->last);

    if (rc != UPLOAD_RANGES_OK) {
        return upload_segment_error(rc);
    }

    if (fstat(sink->fd, &st) == -1) {
        return errno;
    }

    if (st.st_size < upload_segment_end(&segment->ranges)) {
        return EIO;
    }

    err = fresh ? upload_sink_flush_name(segment->sink, segment->path) : 0;
    if (err) {
        return err;
    }

    claimed = 0;

    if (upload_ranges_complete(&segment->ranges)) {
        claimed = upload_segment_lock(segment, F_OFD_SETLK, F_WRLCK,
                                      UPLOAD_SEGMENT_CLAIM, 1);

        if (claimed != UPLOAD_SEGMENT_CLAIMED) {
            return claimed;
        }
    }

    /* before the checkpoint, which must not be ahead */

    err = upload_segment_write_state(segment);

    if (err == 0 && fresh) {
        err = upload_sink_flush_name(segment->sink, segment->state_path);
    }

    if (err || segment->kinds == 0) {
        return err ? err : claimed;
    }

    err = upload_segment_load(segment, &cp);
    if (err) {
        return err;
    }

    /* who sends everything again, in order, needs no reading in between */

    len = segment->last - segment->first + 1;
    most = UPLOAD_SEGMENT_READ_BACK;
    most = len > most / UPLOAD_SEGMENT_TIMES ? len * UPLOAD_SEGMENT_TIMES
                                             : most;
    offset = cp.offset;

    err = upload_segment_advance(segment, &cp, again ? 0 : most);

    if (err == 0 && cp.offset != offset) {
        err = upload_segment_save(segment, &cp);
    }

    return err ? err : claimed;
}


/* nobody else is there any more, and the update is not needed */

static int
upload_segment_complete(upload_segment_t *segment)
{
    int                   err;
    struct stat           st;
    upload_sink_t        *sink;
    upload_checkpoint_t   cp;

    sink = segment->sink;

    if (segment->kinds) {
        err = upload_segment_load(segment, &cp);
        if (err) {
            return err;
        }

        err = upload_segment_advance(segment, &cp, segment->total);
        if (err) {
            return err;
        }

        sink->digest = cp.digest;
    }

    if (fstat(sink->fd, &st) == -1) {
        return errno;
    }

    if (st.st_size > segment->total) {

        if (ftruncate(sink->fd, segment->total) == -1) {
            sink->failed = "cut to its size";
            return errno;
        }

        err = upload_sink_flush(sink);
        if (err) {
            return err;
        }
    }

    err = upload_segment_forget(segment);
    if (err) {
        return err;
    }

    sink->offset = segment->total;
    segment->complete = 1;

    return 0;
}
