
/*
 * A file that grows over several requests: whatever interrupts it, it goes on
 * at the offset that it has, and its digest is that of what is in it.
 *
 * Linked with --wrap for what reads and changes files, to count and to stop.
 */


#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "unit.h"
#include "upload_append.h"


#define ALL     ((1 << UPLOAD_DIGEST_KINDS) - 1)

#define SIZE    300000
#define KILLED  77


typedef struct {
    upload_sink_t    sink;
    upload_append_t  append;
} handle_t;


static char           directory[1000], path[1100], checkpoint[1100],
                      moved[1100];
static unsigned char  content[SIZE];

/* by pread(), but not of the checkpoint */
static off_t          bytes_read;

/* calls that change a file, before the process ends; 0: it does not */
static unsigned       fuse;

/* what happens just before the lock is taken */
static void         (*before_lock)(void);


ssize_t __real_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t offset);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);


static void
burn(void)
{
    if (fuse && --fuse == 0) {
        _exit(KILLED);
    }
}


ssize_t
__wrap_pread(int fd, void *buf, size_t len, off_t offset)
{
    ssize_t      n;
    struct stat  st, named;

    n = __real_pread(fd, buf, len, offset);

    if (fstat(fd, &st) == 0 && stat(path, &named) == 0
        && st.st_ino == named.st_ino)
    {
        bytes_read += n;
    }

    return n;
}


ssize_t
__wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    burn();

    return __real_pwritev(fd, iov, n, offset);
}


ssize_t
__wrap_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    burn();

    return __real_pwrite(fd, buf, len, offset);
}


int
__wrap_ftruncate(int fd, off_t len)
{
    burn();

    return __real_ftruncate(fd, len);
}


int
__wrap_open(const char *name, int flags, ...)
{
    int      mode;
    va_list  args;

    if (flags & O_CREAT) {
        burn();
    }

    va_start(args, flags);
    mode = (flags & O_CREAT) ? va_arg(args, int) : 0;
    va_end(args);

    return __real_open(name, flags, mode);
}


int
__wrap_fcntl(int fd, int command, ...)
{
    void     *arg;
    va_list   args;

    if (before_lock) {
        before_lock();
        before_lock = NULL;
    }

    va_start(args, command);
    arg = va_arg(args, void *);
    va_end(args);

    return __real_fcntl(fd, command, arg);
}


static void
clean(void)
{
    (void) unlink(path);
    (void) unlink(checkpoint);
    (void) unlink(moved);

    bytes_read = 0;
}


static size_t
slurp(const char *name, unsigned char *data, size_t size)
{
    int      fd;
    ssize_t  n;

    fd = open(name, O_RDONLY);
    check(fd != -1);
    n = read(fd, data, size);
    check(n >= 0);
    close(fd);

    return n;
}


static void
spill(const char *name, const void *data, size_t len)
{
    int  fd;

    fd = open(name, O_WRONLY|O_CREAT|O_TRUNC, 0600);
    check(fd != -1);
    check(fchmod(fd, 0640) == 0);
    check(write(fd, data, len) == (ssize_t) len);
    close(fd);
}


static void
expect_mode(const char *name)
{
    struct stat  st;

    check(stat(name, &st) == 0);
    check((st.st_mode & 07777) == 0640);
}


static off_t
file_size(void)
{
    struct stat  st;

    return stat(path, &st) == 0 ? st.st_size : 0;
}


/* what is in the file, and what the sink says of it */

static void
expect(const handle_t *h, const unsigned char *data, size_t len,
    unsigned kinds)
{
    size_t                 n;
    unsigned char          a[UPLOAD_DIGEST_HEX_MAX], b[UPLOAD_DIGEST_HEX_MAX];
    upload_digest_t        whole;
    upload_digest_kind_e   kind;
    static unsigned char   found[SIZE + 1];

    n = slurp(path, found, sizeof(found));
    check((size_t) h->sink.offset == n);

    if (data) {
        check(n == len);
        check(memcmp(found, data, len) == 0);
    }

    upload_digest_init(&whole, ALL);
    upload_digest_update(&whole, found, n);

    check((h->sink.digest.kinds & kinds) == kinds);

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {

        if (h->sink.digest.kinds & 1 << kind) {
            n = upload_digest_hex(&h->sink.digest, kind, a);
            check(n > 0);
            check(upload_digest_hex(&whole, kind, b) == n);
            check(memcmp(a, b, n) == 0);
        }
    }
}


static void
prepare(handle_t *h, off_t offset, off_t length, unsigned kinds, int sync)
{
    upload_sink_init(&h->sink, kinds, sync);
    upload_append_init(&h->append, &h->sink);

    h->append.path = path;
    h->append.checkpoint_path = checkpoint;
    h->append.mode = 0640;
    h->append.offset = offset;
    h->append.length = length;
}


static int
begin(handle_t *h, off_t offset)
{
    prepare(h, offset, -1, ALL, 0);

    return upload_append_open(&h->append);
}


static int
refused(off_t offset)
{
    int       rc;
    handle_t  h;

    rc = begin(&h, offset);
    upload_append_close(&h.append);

    return rc;
}


static int
take(handle_t *h, const unsigned char *data, size_t len)
{
    upload_piece_t  piece;

    piece.data = data;
    piece.len = len;

    return upload_sink_take(&h->sink, &piece, 1);
}


/* "kept" bytes with a checkpoint, and some more without one */

static void
grow(off_t kept, off_t more)
{
    handle_t  h;

    check(begin(&h, 0) == 0);
    check(take(&h, content, kept) == 0);
    check(upload_append_keep(&h.append) == 0);
    check(more == 0 || take(&h, content + kept, more) == 0);
    upload_append_close(&h.append);
}


/* as if the machine was started anew: both slots name another boot */

static void
reboot(void)
{
    char           *boot, *crc;
    size_t          i, len;
    unsigned char   slots[2 * UPLOAD_CHECKPOINT_SLOT];

    if (access(checkpoint, F_OK) == -1) {
        return;
    }

    len = slurp(checkpoint, slots, sizeof(slots));

    for (i = 0; i < len; i += UPLOAD_CHECKPOINT_SLOT) {
        boot = strstr((char *) slots + i, "\nboot ");
        crc = boot ? strstr(boot, "\ncrc32 ") : NULL;

        /* a digest of that name comes first */

        while (crc && strstr(crc + 1, "\ncrc32 ")) {
            crc = strstr(crc + 1, "\ncrc32 ");
        }

        if (crc) {
            boot[6] = boot[6] == '0' ? '1' : '0';
            crc++;
            sprintf(crc, "crc32 %08x\n",
                    (unsigned) crc32(0, slots + i,
                                     crc - (char *) slots - i));
        }
    }

    spill(checkpoint, slots, len);
}


static void
test_grow(int sync)
{
    off_t      offset, n;
    handle_t   h;
    unsigned   i;

    clean();

    for (offset = 0; offset < SIZE; /* void */) {
        prepare(&h, offset, SIZE, ALL, sync);
        check(upload_append_open(&h.append) == 0);
        check(h.append.size == offset);
        expect(&h, content, offset, ALL);

        for (i = rand() % 4; i && offset < SIZE; i--) {
            n = 1 + rand() % 5000;
            n = SIZE - offset < n ? SIZE - offset : n;
            check(take(&h, content + offset, n) == 0);
            offset += n;
        }

        check(upload_append_keep(&h.append) == 0);

        if (rand() % 3 == 0) {
            check(upload_append_keep(&h.append) == 0);
        }

        expect(&h, content, offset, ALL);
        upload_append_close(&h.append);
        upload_append_close(&h.append);
        check(h.sink.fd == -1);
    }

    /* the expectations do not count: they use read() */

    check(bytes_read == 0);
    expect_mode(path);
    expect_mode(checkpoint);

    /* nothing comes any more: that works, too */

    check(begin(&h, SIZE) == 0);
    check(upload_append_keep(&h.append) == 0);
    expect(&h, content, SIZE, ALL);
    upload_append_close(&h.append);
}


static void
test_offset(void)
{
    handle_t  h;

    clean();
    check(begin(&h, 1) == UPLOAD_APPEND_OFFSET);
    check(h.append.size == 0);
    check(h.append.kept == -1);
    upload_append_close(&h.append);
    check(access(path, F_OK) == -1);

    grow(1000, 0);

    check(begin(&h, 0) == UPLOAD_APPEND_OFFSET);
    check(h.append.size == 1000);
    check(h.append.kept == 1000);
    upload_append_close(&h.append);
    check(begin(&h, 999) == UPLOAD_APPEND_OFFSET);
    check(h.append.size == 1000);
    upload_append_close(&h.append);
    check(begin(&h, 1001) == UPLOAD_APPEND_OFFSET);
    check(h.append.size == 1000);
    upload_append_close(&h.append);

    check(begin(&h, 1000) == 0);
    expect(&h, content, 1000, ALL);
    upload_append_close(&h.append);
}


static void
replace(void)
{
    check(rename(path, moved) == 0);
    spill(path, content, 1000);
}


static void
lengthen(void)
{
    int  fd;

    fd = open(path, O_WRONLY|O_APPEND);
    check(fd != -1);
    check(write(fd, content + 1000, 10) == 10);
    close(fd);
}


static void
vanish(void)
{
    check(rename(path, moved) == 0);
}


static void
test_lock(void)
{
    handle_t  h;

    clean();
    check(begin(&h, 0) == 0);
    check(refused(0) == UPLOAD_APPEND_LOCKED);
    check(take(&h, content, 1000) == 0);
    check(refused(0) == UPLOAD_APPEND_LOCKED);
    check(refused(1000) == UPLOAD_APPEND_LOCKED);
    check(upload_append_keep(&h.append) == 0);
    check(refused(1000) == UPLOAD_APPEND_LOCKED);
    expect(&h, content, 1000, ALL);
    upload_append_close(&h.append);
    check(refused(1000) == 0);

    /* what happens between the opening and the lock */

    before_lock = replace;
    check(refused(1000) == UPLOAD_APPEND_LOCKED);
    check(before_lock == NULL);
    check(file_size() == 1000);
    check(rename(moved, path) == 0);

    before_lock = vanish;
    check(refused(1000) == UPLOAD_APPEND_LOCKED);
    check(before_lock == NULL);
    check(rename(moved, path) == 0);

    before_lock = lengthen;
    check(begin(&h, 1000) == UPLOAD_APPEND_OFFSET);
    check(h.append.size == 1010);

    /* nobody knows yet whether these ten are on the disk */

    check(h.append.kept == -1);
    upload_append_close(&h.append);
    check(refused(1010) == 0);
}


static void
test_heal(void)
{
    handle_t  h;

    /* only what the checkpoint does not know is read */

    clean();
    grow(200000, 70000);
    check(begin(&h, 270000) == 0);
    check(bytes_read == 70000);
    expect(&h, content, 270000, ALL);
    check(take(&h, content + 270000, 1000) == 0);
    upload_append_close(&h.append);

    bytes_read = 0;
    check(begin(&h, 271000) == 0);
    check(bytes_read == 71000);
    check(upload_append_keep(&h.append) == 0);
    upload_append_close(&h.append);

    bytes_read = 0;
    check(begin(&h, 271000) == 0);
    check(bytes_read == 0);
    expect(&h, content, 271000, ALL);
    upload_append_close(&h.append);

    /* the checkpoint is broken */

    spill(checkpoint, "x", 1);
    check(begin(&h, 271000) == UPLOAD_APPEND_OFFSET);
    check(h.append.size == 0);
    upload_append_close(&h.append);
    check(file_size() == 0);

    /* an old one is ahead of the file that has its name now */

    clean();
    grow(1000, 0);
    check(unlink(path) == 0);
    check(begin(&h, 0) == 0);
    expect(&h, content, 0, ALL);
    check(take(&h, content + 5, 2000) == 0);
    upload_append_close(&h.append);
    check(begin(&h, 2000) == 0);
    expect(&h, content + 5, 2000, ALL);
    upload_append_close(&h.append);

    clean();
    grow(1000, 0);
    check(truncate(path, 500) == 0);
    check(begin(&h, 500) == 0);
    expect(&h, content, 500, ALL);
    check(take(&h, content, 2000) == 0);
    upload_append_close(&h.append);
    check(begin(&h, 2500) == 0);
    expect(&h, NULL, 0, ALL);
    upload_append_close(&h.append);
}


static void
test_reboot(void)
{
    handle_t  h;

    /* what may be zeros is cut off, what was flushed is not */

    clean();
    grow(1000, 500);
    reboot();
    check(begin(&h, 1500) == UPLOAD_APPEND_OFFSET);
    check(h.append.size == 1000);
    upload_append_close(&h.append);
    check(file_size() == 1000);
    check(begin(&h, 1000) == 0);
    check(bytes_read == 0);
    expect(&h, content, 1000, ALL);
    check(take(&h, content + 1000, 500) == 0);
    check(upload_append_keep(&h.append) == 0);
    upload_append_close(&h.append);
    check(begin(&h, 1500) == 0);
    expect(&h, content, 1500, ALL);
    upload_append_close(&h.append);

    reboot();
    check(begin(&h, 1500) == 0);
    expect(&h, content, 1500, ALL);

    /* what comes after the start is good again, also without a checkpoint */

    check(take(&h, content + 1500, 500) == 0);
    upload_append_close(&h.append);
    check(begin(&h, 2000) == 0);
    expect(&h, content, 2000, ALL);
    upload_append_close(&h.append);

    /* and a file that nobody ever kept is none */

    clean();
    check(begin(&h, 0) == 0);
    check(take(&h, content, 1000) == 0);
    upload_append_close(&h.append);
    check(refused(1000) == 0);
    reboot();
    check(begin(&h, 1000) == UPLOAD_APPEND_OFFSET);
    check(h.append.size == 0);
    upload_append_close(&h.append);
}


static void
test_discard(int sync)
{
    size_t                i, len;
    handle_t              h;
    unsigned char         slots[2 * UPLOAD_CHECKPOINT_SLOT];
    upload_checkpoint_t   cp;

    clean();
    grow(1000, 200);

    prepare(&h, 1200, 5000, ALL, sync);
    check(upload_append_open(&h.append) == 0);
    check(take(&h, content + 2000, 1000) == 0);
    h.append.discard = 1;
    check(upload_append_keep(&h.append) == 0);
    expect(&h, content, 1200, ALL);
    upload_append_close(&h.append);
    check(file_size() == 1200);

    bytes_read = 0;
    check(begin(&h, 1200) == 0);
    check(bytes_read == 0);
    expect(&h, content, 1200, ALL);

    /* also what a checkpoint in between has counted */

    check(take(&h, content + 2000, 1000) == 0);
    check(upload_append_keep(&h.append) == 0);
    check(take(&h, content + 5000, 1000) == 0);
    h.append.discard = 1;
    check(upload_append_keep(&h.append) == 0);
    expect(&h, content, 1200, ALL);
    upload_append_close(&h.append);

    /* what was not flushed can be gone after a crash: so is what it hides */

    len = slurp(checkpoint, slots, sizeof(slots));

    for (i = 0; i < len; i += UPLOAD_CHECKPOINT_SLOT) {
        check(upload_checkpoint_parse((char *) slots + i,
                                      UPLOAD_CHECKPOINT_SLOT, &cp) != 0
              || cp.offset <= 1200);
    }

    check(begin(&h, 1200) == 0);
    check(take(&h, content + 1200, 4000) == 0);
    upload_append_close(&h.append);
    check(begin(&h, 5200) == 0);
    expect(&h, content, 5200, ALL);
    upload_append_close(&h.append);
}


static void
test_due(void)
{
    handle_t  h;

    clean();
    check(begin(&h, 0) == 0);
    check(!upload_append_due(&h.append));
    check(take(&h, content, 1000) == 0);
    check(!upload_append_due(&h.append));
    h.append.saved -= UPLOAD_APPEND_INTERVAL - 1001;
    check(!upload_append_due(&h.append));
    h.append.saved--;
    check(upload_append_due(&h.append));
    check(upload_append_keep(&h.append) == 0);
    check(!upload_append_due(&h.append));
    upload_append_close(&h.append);

    /* what was there before is not due */

    h.append.offset = 1000;
    check(begin(&h, 1000) == 0);
    check(h.append.saved == 1000);
    upload_append_close(&h.append);
}


static void
test_kinds(void)
{
    handle_t  h;
    unsigned  some;

    some = 1 << UPLOAD_DIGEST_MD5 | 1 << UPLOAD_DIGEST_SHA256;

    clean();
    prepare(&h, 0, -1, some, 0);
    check(upload_append_open(&h.append) == 0);
    check(take(&h, content, 1000) == 0);
    check(upload_append_keep(&h.append) == 0);
    expect(&h, content, 1000, some);
    upload_append_close(&h.append);

    /* fewer: none is lost */

    prepare(&h, 1000, -1, 1 << UPLOAD_DIGEST_MD5, 0);
    check(upload_append_open(&h.append) == 0);
    check(bytes_read == 0);
    check(take(&h, content + 1000, 1000) == 0);
    check(upload_append_keep(&h.append) == 0);
    expect(&h, content, 2000, some);
    upload_append_close(&h.append);

    /* more: all is read again, once */

    check(begin(&h, 2000) == 0);
    check(bytes_read == 2000);
    expect(&h, content, 2000, ALL);
    check(upload_append_keep(&h.append) == 0);
    upload_append_close(&h.append);
    check(begin(&h, 2000) == 0);
    check(bytes_read == 2000);
    expect(&h, content, 2000, ALL);
    upload_append_close(&h.append);

    /* none */

    clean();
    prepare(&h, 0, -1, 0, 0);
    check(upload_append_open(&h.append) == 0);
    check(take(&h, content, 1000) == 0);
    check(upload_append_keep(&h.append) == 0);
    upload_append_close(&h.append);
    prepare(&h, 1000, -1, 0, 0);
    check(upload_append_open(&h.append) == 0);
    check(bytes_read == 0);
    expect(&h, content, 1000, 0);
    upload_append_close(&h.append);
}


static void
test_reserve(void)
{
    int          rc;
    char         saved[1100];
    handle_t     h;
    struct stat  st;

    clean();
    prepare(&h, 0, 1000000, ALL, 0);
    check(upload_append_open(&h.append) == 0);
    check(stat(path, &st) == 0);
    check(st.st_size == 0);
    check(st.st_blocks * 512 >= 1000000);
    check(take(&h, content, 1000) == 0);
    check(upload_append_keep(&h.append) == 0);
    check(file_size() == 1000);
    upload_append_close(&h.append);

    /* a full disk, where the test may have one */

    memcpy(saved, path, sizeof(path));
    snprintf(path, sizeof(path), "%s/disk", directory);
    check(mkdir(path, 0700) == 0);
    rc = mount("none", path, "tmpfs", 0, "size=1m");

    if (rc == 0) {
        snprintf(path, sizeof(path), "%s/disk/file", directory);
        (void) unlink(checkpoint);
        prepare(&h, 0, 10000000, ALL, 0);
        check(upload_append_open(&h.append) == ENOSPC);
        check(strcmp(h.sink.failed, "given its space on the disk") == 0);
        upload_append_close(&h.append);
        check(file_size() == 0);
        snprintf(path, sizeof(path), "%s/disk", directory);
        check(umount(path) == 0);
    }

    check(rmdir(path) == 0);
    memcpy(path, saved, sizeof(path));
}


static void
test_refused(void)
{
    handle_t  h;

    clean();
    check(symlink("/nowhere", path) == 0);
    check(refused(0) == ELOOP);
    check(unlink(path) == 0);

    check(mkfifo(path, 0600) == 0);
    check(chmod(path, 0600) == 0);
    check(refused(0) == EINVAL);
    check(unlink(path) == 0);

    check(mkdir(path, 0700) == 0);
    check(refused(0) == EISDIR);
    check(rmdir(path) == 0);

    check(symlink(moved, checkpoint) == 0);
    check(refused(0) == ELOOP);
    check(access(moved, F_OK) == -1);

    /* before it was opened */

    prepare(&h, 0, -1, ALL, 0);
    upload_append_close(&h.append);
}


/* opens at whatever offset the file has: its digest must be the file's */

static void
reopen(handle_t *h)
{
    int  rc;

    rc = begin(h, file_size());

    if (rc == UPLOAD_APPEND_OFFSET) {
        upload_append_close(&h->append);
        rc = begin(h, h->append.size);
    }

    check(rc == 0);
    expect(h, NULL, 0, ALL);
}


/* requests of any kind, that end in any way */

static void
scenario(unsigned n)
{
    int        rc;
    handle_t   h;
    unsigned   i;
    off_t      size;

    while (n--) {
        size = file_size();
        prepare(&h, size, -1, rand() % 4 ? ALL : rand() % ALL, rand() % 2);
        rc = upload_append_open(&h.append);

        for (i = rand() % 4; rc == 0 && i; i--) {
            size = 1 + rand() % 200;
            rc = take(&h, content + rand() % 10000, size);

            if (rc == 0 && rand() % 3 == 0) {
                rc = upload_append_keep(&h.append);
            }
        }

        h.append.discard = rand() % 3 == 0;

        if (rc == 0 && rand() % 2) {
            rc = upload_append_keep(&h.append);
        }

        check(rc == 0 || rc == UPLOAD_APPEND_OFFSET);
        upload_append_close(&h.append);

        if (rand() % 10 == 0) {
            reboot();
        }

        if (rand() % 20 == 0) {
            (void) unlink(path);
        }
    }
}


static unsigned
test_killed(unsigned seed, unsigned step)
{
    int       status;
    pid_t     pid;
    handle_t  h;

    clean();

    pid = fork();
    check(pid != -1);

    if (pid == 0) {
        srand(seed);
        fuse = step;
        scenario(8);
        _exit(0);
    }

    check(waitpid(pid, &status, 0) == pid);
    check(WIFEXITED(status));
    check(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KILLED);

    reopen(&h);
    check(take(&h, content, 500) == 0);
    upload_append_close(&h.append);
    reopen(&h);
    upload_append_close(&h.append);

    return WEXITSTATUS(status) == KILLED;
}


static void
test_kills(void)
{
    unsigned  seed, step;

    for (seed = 1; seed < 8; seed++) {

        for (step = 1; test_killed(seed, step); step++) {
            /* void */
        }

        check(step > 20);
    }
}


static void
test_any(void)
{
    handle_t  h;
    unsigned  i;

    clean();
    srand(1);

    for (i = 0; i < 1000; i++) {
        scenario(1);
        reopen(&h);
        upload_append_close(&h.append);

        if (file_size() > SIZE / 2) {
            clean();
        }
    }
}


int
main(int argc, char **argv)
{
    size_t  i;

    check(argc == 2);
    snprintf(directory, sizeof(directory), "%s", argv[1]);
    snprintf(path, sizeof(path), "%s/file", argv[1]);
    snprintf(checkpoint, sizeof(checkpoint), "%s/file.checkpoint", argv[1]);
    snprintf(moved, sizeof(moved), "%s/moved", argv[1]);

    umask(0777);
    srand(1);

    for (i = 0; i < SIZE; i++) {
        content[i] = (unsigned char) rand();
    }

    test_grow(0);
    test_grow(1);
    test_offset();
    test_lock();
    test_reboot();
    test_discard(0);
    test_discard(1);
    test_due();
    test_kinds();
    test_reserve();
    test_refused();
    test_heal();
    test_kills();
    test_any();

    clean();
    printf("ok\n");

    return 0;
}
