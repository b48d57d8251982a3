
/*
 * The checkpoint of a partial file, see upload_checkpoint.h.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "upload_checkpoint.h"
#include "upload_ranges.h"


#define LF  '\n'

/* "crc32 " HEX LF */
#define UPLOAD_CHECKPOINT_CRC  (6 + 8 + 1)


static int upload_checkpoint_read(int fd, char *slot, off_t offset,
    size_t *len);
static int upload_checkpoint_line(const char **pos, const char *last,
    const char *name, const char **value, size_t *len);
static int upload_checkpoint_number(const char **pos, const char *last,
    const char *name, off_t *number);
static int upload_checkpoint_write(int fd, const char *slot, off_t offset);
static int upload_checkpoint_sync(int fd);
static void upload_checkpoint_crc(const char *text, size_t len,
    char line[UPLOAD_CHECKPOINT_CRC + 1]);
static const char *upload_checkpoint_boot(void);
static void upload_checkpoint_read_boot(void);


static char            upload_checkpoint_boot_id[UPLOAD_CHECKPOINT_BOOT_MAX
                                                 + 2];
static pthread_once_t  upload_checkpoint_boot_once = PTHREAD_ONCE_INIT;


int
upload_checkpoint_load(int fd, upload_checkpoint_t *cp)
{
    int                  err, rc;
    char                 slot[UPLOAD_CHECKPOINT_SLOT];
    size_t               len;
    unsigned             i;
    upload_checkpoint_t  found;

    memset(cp, 0, sizeof(upload_checkpoint_t));
    err = ENODATA;

    for (i = 0; i < 2; i++) {
        rc = upload_checkpoint_read(fd, slot,
                                    (off_t) i * UPLOAD_CHECKPOINT_SLOT, &len);

        if (rc) {
            /* a power loss can leave a slot that the disk refuses to read */
            err = rc;
            continue;
        }

        if (upload_checkpoint_parse(slot, len, &found) == 0
            && found.sequence % 2 == i && found.sequence > cp->sequence)
        {
            *cp = found;
        }
    }

    return cp->sequence ? 0 : err;
}


static int
upload_checkpoint_read(int fd, char *slot, off_t offset, size_t *len)
{
    ssize_t  n;

    *len = 0;

    while (*len < UPLOAD_CHECKPOINT_SLOT) {
        n = pread(fd, slot + *len, UPLOAD_CHECKPOINT_SLOT - *len,
                  offset + *len);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            return errno;
        }

        if (n == 0) {
            break;
        }

        *len += n;
    }

    return 0;
}


int
upload_checkpoint_parse(const char *slot, size_t len, upload_checkpoint_t *cp)
{
    char         crc[UPLOAD_CHECKPOINT_CRC + 1];
    off_t        sequence;
    size_t       n;
    const char  *p, *last, *value, *boot;

    len = strnlen(slot, len);

    if (len < UPLOAD_CHECKPOINT_CRC) {
        return -1;
    }

    len -= UPLOAD_CHECKPOINT_CRC;
    upload_checkpoint_crc(slot, len, crc);

    if (memcmp(slot + len, crc, UPLOAD_CHECKPOINT_CRC) != 0) {
        return -1;
    }

    p = slot;
    last = slot + len;

    if (upload_checkpoint_line(&p, last, "upload-checkpoint ", &value, &n)
        != 0
        || n != 1 || *value != '1'
        || upload_checkpoint_number(&p, last, "sequence ", &sequence) != 0
        || sequence == 0
        || upload_checkpoint_number(&p, last, "offset ", &cp->offset) != 0
        || upload_checkpoint_line(&p, last, "boot ", &value, &n) != 0
        || n == 0 || n > UPLOAD_CHECKPOINT_BOOT_MAX
        || upload_digest_import(&cp->digest, p, last - p, cp->offset) != 0)
    {
        return -1;
    }

    boot = upload_checkpoint_boot();

    cp->sequence = sequence;
    cp->same_boot = (strcmp(boot, "-") != 0 && strlen(boot) == n
                     && memcmp(boot, value, n) == 0);

    return 0;
}


static int
upload_checkpoint_line(const char **pos, const char *last, const char *name,
    const char **value, size_t *len)
{
    size_t       n;
    const char  *p;

    n = strlen(name);

    if ((size_t) (last - *pos) < n || memcmp(*pos, name, n) != 0) {
        return -1;
    }

    *value = *pos + n;
    p = memchr(*value, LF, last - *value);

    if (p == NULL) {
        return -1;
    }

    *len = p - *value;
    *pos = p + 1;

    return 0;
}


static int
upload_checkpoint_number(const char **pos, const char *last, const char *name,
    off_t *number)
{
    size_t       n;
    const char  *value;

    if (upload_checkpoint_line(pos, last, name, &value, &n) != 0
        || n == 0 || upload_offset_parse(value, n, number) != n)
    {
        return -1;
    }

    return 0;
}


int
upload_checkpoint_save(int fd, upload_checkpoint_t *cp, int sync)
{
    int                  rc;
    char                 slot[UPLOAD_CHECKPOINT_SLOT];
    upload_checkpoint_t  next;

    /* what an earlier file left could have a higher sequence */

    if (cp->sequence == 0 && ftruncate(fd, 0) == -1) {
        return errno;
    }

    next = *cp;
    next.sequence++;
    (void) upload_checkpoint_format(&next, slot);

    rc = upload_checkpoint_write(fd, slot, next.sequence % 2
                                           * UPLOAD_CHECKPOINT_SLOT);

    if (rc == 0 && sync) {
        rc = upload_checkpoint_sync(fd);
    }

    /* after a failure this slot is written again, not the good one */

    if (rc == 0) {
        cp->sequence = next.sequence;
    }

    return rc;
}


size_t
upload_checkpoint_format(const upload_checkpoint_t *cp,
    char slot[UPLOAD_CHECKPOINT_SLOT])
{
    char    crc[UPLOAD_CHECKPOINT_CRC + 1];
    size_t  len;

    /* it always fits: the text has less than 1200 bytes */

    memset(slot, 0, UPLOAD_CHECKPOINT_SLOT);

    len = snprintf(slot, UPLOAD_CHECKPOINT_SLOT,
                   "upload-checkpoint 1\nsequence %llu\noffset %lld\n"
                   "boot %s\n",
                   cp->sequence, (long long) cp->offset,
                   upload_checkpoint_boot());
    len += upload_digest_export(&cp->digest, slot + len,
                                UPLOAD_CHECKPOINT_SLOT - len);

    upload_checkpoint_crc(slot, len, crc);
    memcpy(slot + len, crc, UPLOAD_CHECKPOINT_CRC);

    return len + UPLOAD_CHECKPOINT_CRC;
}


static int
upload_checkpoint_write(int fd, const char *slot, off_t offset)
{
    size_t   len;
    ssize_t  n;

    len = 0;

    while (len < UPLOAD_CHECKPOINT_SLOT) {
        n = pwrite(fd, slot + len, UPLOAD_CHECKPOINT_SLOT - len,
                   offset + len);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            return errno;
        }

        if (n == 0) {
            return EIO;
        }

        len += n;
    }

    return 0;
}


static int
upload_checkpoint_sync(int fd)
{
    while (fdatasync(fd) == -1) {

        if (errno != EINTR) {
            return errno;
        }
    }

    return 0;
}


static void
upload_checkpoint_crc(const char *text, size_t len,
    char line[UPLOAD_CHECKPOINT_CRC + 1])
{
    unsigned  crc;

    crc = crc32(0, (const unsigned char *) text, len);

    (void) snprintf(line, UPLOAD_CHECKPOINT_CRC + 1, "crc32 %08x\n", crc);
}


static const char *
upload_checkpoint_boot(void)
{
    (void) pthread_once(&upload_checkpoint_boot_once,
                        upload_checkpoint_read_boot);

    return upload_checkpoint_boot_id;
}


static void
upload_checkpoint_read_boot(void)
{
    int      fd;
    char    *id;
    size_t   len;
    ssize_t  n;

    id = upload_checkpoint_boot_id;
    n = -1;

    fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY|O_CLOEXEC);

    if (fd != -1) {
        /* the line feed and a NUL are not part of it */
        n = read(fd, id, UPLOAD_CHECKPOINT_BOOT_MAX + 1);
        (void) close(fd);
    }

    len = n > 0 ? n : 0;
    id[len] = '\0';

    len = strspn(id, "0123456789abcdef-");

    if (len == 0 || len > UPLOAD_CHECKPOINT_BOOT_MAX
        || strcmp(id + len, "\n") != 0)
    {
        len = 1;
        id[0] = '-';
    }

    id[len] = '\0';
}
