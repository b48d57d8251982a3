
/*
 * One file that is being received, see upload_sink.h.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "upload_sink.h"


/* pieces of one system call: a buffer of a chunked body has several */
#define UPLOAD_SINK_IOVS       64

/* what is read back at a time: on a thread's stack, and in its CPU's cache */
#define UPLOAD_SINK_READ_BACK  (64 * 1024)


static int upload_sink_has_room(upload_sink_t *sink, off_t len);
static int upload_sink_writev(upload_sink_t *sink, struct iovec *iov, int n);


void
upload_sink_init(upload_sink_t *sink, unsigned kinds, int sync)
{
    memset(sink, 0, sizeof(upload_sink_t));

    sink->fd = -1;
    sink->sync = sync ? 1 : 0;

    upload_digest_init(&sink->digest, kinds);
}


int
upload_sink_create(upload_sink_t *sink, const char *path, mode_t mode)
{
    int  fd, err;

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, S_IRUSR|S_IWUSR);

    if (fd == -1) {
        return errno;
    }

    if (fchmod(fd, mode) == -1) {
        err = errno;
        (void) close(fd);
        (void) unlink(path);
        return err;
    }

    sink->fd = fd;

    return 0;
}


int
upload_sink_reserve(upload_sink_t *sink)
{
    off_t  len;

    len = sink->reserve;
    sink->reserve = 0;

    if (!upload_sink_has_room(sink, len)) {
        sink->failed = "given its space on the disk";
        return ENOSPC;
    }

    while (fallocate(sink->fd, FALLOC_FL_KEEP_SIZE, sink->offset, len) == -1) {

        switch (errno) {

        case EINTR:
            continue;

        case ENOSPC:
        case EDQUOT:
        case EFBIG:
            sink->failed = "given its space on the disk";
            return errno;

        default:
            return 0;
        }
    }

    sink->reserved = 1;

    return 0;
}


/*
 * A file system that runs full in the middle of it does not give back what it
 * had reserved so far: who comes next would have none, for nothing.
 */

static int
upload_sink_has_room(upload_sink_t *sink, off_t len)
{
    off_t           have;
    struct stat     st;
    struct statvfs  fs;

    if (fstat(sink->fd, &st) == -1 || fstatvfs(sink->fd, &fs) == -1) {
        return 1;
    }

    /* what an earlier request has reserved behind the end, or perhaps so */

    have = (off_t) st.st_blocks * 512;
    have -= st.st_size == sink->offset ? st.st_size : 0;

    return (len - have) / (off_t) fs.f_frsize <= (off_t) fs.f_bavail;
}


int
upload_sink_take(upload_sink_t *sink, const upload_piece_t *pieces, size_t n)
{
    int    err;
    off_t  offset;

    offset = sink->offset;

    err = upload_sink_write(sink, pieces, n);

    /* the digest is always that of what is in the file */

    upload_sink_hash(sink, pieces, sink->offset - offset);

    return err;
}


void
upload_sink_fork(upload_sink_t *sink)
{
    sink->fork_offset = sink->offset;
    sink->fork_digest = sink->digest;

    if (sink->body) {
        sink->fork_body = *sink->body;
    }
}


void
upload_sink_join(upload_sink_t *sink, const upload_piece_t *pieces, size_t len)
{
    size_t  written;

    written = sink->offset - sink->fork_offset;

    if (written == len) {
        return;
    }

    sink->digest = sink->fork_digest;

    if (sink->body) {
        *sink->body = sink->fork_body;
    }

    upload_sink_hash(sink, pieces, written);
}


int
upload_sink_write(upload_sink_t *sink, const upload_piece_t *pieces, size_t n)
{
    int           err, count;
    size_t        i, first;
    struct iovec  iov[UPLOAD_SINK_IOVS];

    err = sink->reserve ? upload_sink_reserve(sink) : 0;
    if (err) {
        return err;
    }

    for (first = 0; err == 0 && first < n; first = i) {
        count = 0;

        for (i = first; i < n && count < UPLOAD_SINK_IOVS; i++) {
            iov[count].iov_base = (void *) pieces[i].data;
            iov[count].iov_len = pieces[i].len;
            count++;
        }

        err = upload_sink_writev(sink, iov, count);
    }

    if (err) {
        sink->failed = "written";
        return err;
    }

    if (sink->sync && sink->offset - sink->started >= UPLOAD_SINK_WRITE_BACK) {

        /* a hint: what it cannot start, the final flush does */

        (void) sync_file_range(sink->fd, sink->started,
                               sink->offset - sink->started,
                               SYNC_FILE_RANGE_WRITE);
        sink->started = sink->offset;
    }

    return 0;
}


static int
upload_sink_writev(upload_sink_t *sink, struct iovec *iov, int n)
{
    ssize_t  written;

    while (n) {
        written = pwritev(sink->fd, iov, n, sink->offset);

        if (written == -1) {
            if (errno == EINTR) {
                continue;
            }

            return errno;
        }

        if (written == 0 && iov->iov_len) {
            return EIO;
        }

        sink->offset += written;

        while (n && (size_t) written >= iov->iov_len) {
            written -= iov->iov_len;
            iov++;
            n--;
        }

        if (n && written) {
            iov->iov_base = (char *) iov->iov_base + written;
            iov->iov_len -= written;
        }
    }

    return 0;
}


void
upload_sink_hash(upload_sink_t *sink, const upload_piece_t *pieces, size_t len)
{
    size_t  n;

    for ( /* void */ ; len; pieces++, len -= n) {
        n = pieces->len < len ? pieces->len : len;
        upload_digest_update(&sink->digest, pieces->data, n);

        if (sink->body) {
            upload_digest_update(sink->body, pieces->data, n);
        }
    }
}


int
upload_sink_read_back(upload_sink_t *sink, off_t from)
{
    size_t         size;
    ssize_t        n;
    unsigned char  buffer[UPLOAD_SINK_READ_BACK];

    while (from < sink->offset) {
        size = UPLOAD_SINK_READ_BACK;

        if (sink->offset - from < (off_t) size) {
            size = sink->offset - from;
        }

        n = pread(sink->fd, buffer, size, from);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            sink->failed = "read";
            return n == 0 ? EIO : errno;
        }

        upload_digest_update(&sink->digest, buffer, n);
        from += n;
    }

    return 0;
}


int
upload_sink_flush(upload_sink_t *sink)
{
    if (!sink->sync) {
        return 0;
    }

    while (fdatasync(sink->fd) == -1) {

        if (errno != EINTR) {
            sink->failed = "flushed to disk";
            return errno;
        }
    }

    return 0;
}


int
upload_sink_flush_name(upload_sink_t *sink, const char *path)
{
    int     fd, err;
    char    directory[PATH_MAX];
    size_t  len;

    if (!sink->sync) {
        return 0;
    }

    sink->failed = "given a durable name";

    len = strlen(path);
    if (len >= PATH_MAX) {
        return ENAMETOOLONG;
    }

    memcpy(directory, path, len + 1);

    fd = open(dirname(directory), O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return errno;
    }

    err = fsync(fd) == -1 ? errno : 0;

    (void) close(fd);

    return err;
}


int
upload_sink_finish(upload_sink_t *sink)
{
    int  err;

    if (sink->reserved && ftruncate(sink->fd, sink->offset) == -1) {
        sink->failed = "cut to its size";
        return errno;
    }

    sink->reserved = 0;

    err = upload_sink_flush(sink);

    return err ? err : upload_sink_close(sink);
}


int
upload_sink_close(upload_sink_t *sink)
{
    int  fd;

    fd = sink->fd;
    sink->fd = -1;

    if (fd != -1 && close(fd) == -1 && errno != EINTR) {
        sink->failed = "closed";
        return errno;
    }

    return 0;
}
