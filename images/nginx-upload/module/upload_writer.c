
/*
 * Writes one file, see upload_writer.h.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "upload_writer.h"


static int upload_writer_pwrite(upload_writer_t *w, const unsigned char *data,
    size_t len);


void
upload_writer_init(upload_writer_t *w, void *buffer, size_t size,
    int write_back)
{
    memset(w, 0, sizeof(upload_writer_t));

    w->fd = -1;
    w->buffer = buffer;
    w->buffer_size = size;
    w->write_back = write_back;
}


int
upload_writer_create(upload_writer_t *w, const char *path, mode_t mode)
{
    int  fd, err;

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, S_IRUSR|S_IWUSR);

    if (fd == -1) {
        return errno;
    }

    /* the exact mode, whatever the umask */

    if (fchmod(fd, mode) == -1) {
        err = errno;
        (void) close(fd);
        (void) unlink(path);
        return err;
    }

    w->fd = fd;

    return 0;
}


int
upload_writer_write(upload_writer_t *w, const void *data, size_t len)
{
    int                   err;
    size_t                n;
    const unsigned char  *p;

    p = data;
    w->size += len;

    while (len) {

        if (w->buffered == 0 && len >= w->buffer_size) {
            return upload_writer_pwrite(w, p, len);
        }

        n = w->buffer_size - w->buffered;
        if (n > len) {
            n = len;
        }

        memcpy(w->buffer + w->buffered, p, n);
        w->buffered += n;
        p += n;
        len -= n;

        if (w->buffered == w->buffer_size) {
            err = upload_writer_flush(w);
            if (err) {
                return err;
            }
        }
    }

    return 0;
}


int
upload_writer_flush(upload_writer_t *w)
{
    size_t  len;

    len = w->buffered;
    w->buffered = 0;

    return upload_writer_pwrite(w, w->buffer, len);
}


static int
upload_writer_pwrite(upload_writer_t *w, const unsigned char *data,
    size_t len)
{
    ssize_t  n;

    while (len) {
        n = pwrite(w->fd, data, len, w->written);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            return errno;
        }

        if (n == 0) {
            return EIO;
        }

        w->written += n;
        data += n;
        len -= n;
    }

    if (w->write_back && w->written - w->started >= UPLOAD_WRITER_WRITE_BACK) {

        /* a hint: what it cannot start, the final flush does */

        (void) sync_file_range(w->fd, w->started, w->written - w->started,
                               SYNC_FILE_RANGE_WRITE);
        w->started = w->written;
    }

    return 0;
}


int
upload_writer_sync(int fd)
{
    while (fdatasync(fd) == -1) {

        if (errno != EINTR) {
            return errno;
        }
    }

    return 0;
}


int
upload_writer_close(upload_writer_t *w)
{
    int  fd;

    fd = w->fd;
    w->fd = -1;

    if (fd != -1 && close(fd) == -1 && errno != EINTR) {
        return errno;
    }

    return 0;
}
