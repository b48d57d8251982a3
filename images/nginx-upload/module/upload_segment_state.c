
/*
 * The files beside a file in ranges: its state, and that names are durable.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "upload_segment_private.h"


static int upload_segment_parse_state(upload_segment_t *segment, int fd);
static int upload_segment_write_text(const upload_segment_t *segment, int fd,
    const char *text, size_t len);
static int upload_segment_temporary(const upload_segment_t *segment,
    char path[PATH_MAX]);


int
upload_segment_forget(upload_segment_t *segment)
{
    int          err;
    char         temporary[PATH_MAX];
    size_t       i;
    unsigned     removed;
    const char  *paths[3];

    err = upload_segment_temporary(segment, temporary);
    if (err) {
        return err;
    }

    /* a state without a checkpoint does, a checkpoint without one misleads */

    paths[0] = segment->checkpoint_path;
    paths[1] = temporary;
    paths[2] = segment->state_path;

    removed = 0;

    for (i = 0; i < 3; i++) {

        if (unlink(paths[i]) == 0) {
            removed = 1;

        } else if (errno != ENOENT) {
            segment->sink->failed = "freed of its state";
            return errno;
        }
    }

    return removed ? upload_sink_flush_name(segment->sink, segment->state_path)
                   : 0;
}


/* ENOENT: there is none */

int
upload_segment_read_state(upload_segment_t *segment)
{
    int  fd, err;

    upload_ranges_free(&segment->ranges);
    upload_ranges_init(&segment->ranges, segment->total);

    fd = open(segment->state_path, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        return errno;
    }

    err = upload_segment_parse_state(segment, fd);

    (void) close(fd);

    if (err) {
        upload_ranges_free(&segment->ranges);
    }

    return err;
}


static int
upload_segment_parse_state(upload_segment_t *segment, int fd)
{
    int               err;
    char             *text;
    size_t            len, size;
    ssize_t           n;
    struct stat       st;
    upload_ranges_e   rc;

    if (fstat(fd, &st) == -1) {
        return errno;
    }

    if (!S_ISREG(st.st_mode)) {
        return UPLOAD_SEGMENT_CORRUPT;
    }

    size = st.st_size;

    text = malloc(size + 1);
    if (text == NULL) {
        return ENOMEM;
    }

    err = 0;

    for (len = 0; len < size; len += n) {
        n = read(fd, text + len, size - len);

        if (n == -1 && errno == EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            err = n == 0 ? EIO : errno;
            break;
        }
    }

    if (err == 0) {
        rc = upload_ranges_parse(&segment->ranges, text, len);
        err = upload_segment_error(rc);
    }

    free(text);

    return err;
}


/* all at once: what is read is one that was written, or the one before */

int
upload_segment_write_state(upload_segment_t *segment)
{
    int      fd, err;
    char     temporary[PATH_MAX], *text;
    size_t   len;

    err = upload_segment_temporary(segment, temporary);
    if (err) {
        return err;
    }

    len = upload_ranges_length(&segment->ranges, '\n');

    text = malloc(len + 1);
    if (text == NULL) {
        return ENOMEM;
    }

    len = upload_ranges_format(&segment->ranges, '\n', text, len);

    fd = open(temporary, O_WRONLY|O_CREAT|O_TRUNC|O_NOFOLLOW|O_CLOEXEC,
              S_IRUSR|S_IWUSR);
    err = fd == -1 ? errno : 0;

    if (fd != -1) {
        err = upload_segment_write_text(segment, fd, text, len);

        if (close(fd) == -1 && err == 0 && errno != EINTR) {
            err = errno;
        }

        if (err == 0 && rename(temporary, segment->state_path) == -1) {
            err = errno;
        }

        if (err) {
            (void) unlink(temporary);
        }
    }

    free(text);

    if (err) {
        segment->sink->failed = "given a state";
    }

    return err;
}


static int
upload_segment_write_text(const upload_segment_t *segment, int fd,
    const char *text, size_t len)
{
    size_t   written;
    ssize_t  n;

    if (fchmod(fd, segment->mode) == -1) {
        return errno;
    }

    for (written = 0; written < len; written += n) {
        n = write(fd, text + written, len - written);

        if (n == -1 && errno == EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            return n == 0 ? EIO : errno;
        }
    }

    /* an empty one says nothing that could be lost */

    while (len && segment->sink->sync && fdatasync(fd) == -1) {

        if (errno != EINTR) {
            return errno;
        }
    }

    return 0;
}


static int
upload_segment_temporary(const upload_segment_t *segment, char path[PATH_MAX])
{
    int  n;

    n = snprintf(path, PATH_MAX, "%s.tmp", segment->state_path);

    return (n < 0 || n >= PATH_MAX) ? ENAMETOOLONG : 0;
}


int
upload_segment_error(upload_ranges_e rc)
{
    switch (rc) {

    case UPLOAD_RANGES_OK:
        return 0;

    case UPLOAD_RANGES_TOTAL:
        return UPLOAD_SEGMENT_TOTAL;

    case UPLOAD_RANGES_NO_MEMORY:
        return ENOMEM;

    default: /* UPLOAD_RANGES_MALFORMED */
        return UPLOAD_SEGMENT_CORRUPT;
    }
}


/* the bytes that a file has at least */

off_t
upload_segment_end(const upload_ranges_t *ranges)
{
    return ranges->n ? ranges->elts[ranges->n - 1].last + 1 : 0;
}
