
/*
 * The sink: what it is given stands in the file and in the digest, whatever
 * the pieces; and each failure is an errno.
 */


#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"
#include "upload_sink.h"


#define SIZE    (40 * 1024 * 1024 + 7)
#define PIECES  150

#define KINDS   (1 << UPLOAD_DIGEST_SHA256)


static void
expect_file(const char *path, const unsigned char *data, size_t len)
{
    int             fd;
    struct stat     st;
    unsigned char  *read_back;

    fd = open(path, O_RDONLY);
    check(fd != -1);
    check(fstat(fd, &st) == 0);
    check((size_t) st.st_size == len);
    check((st.st_mode & 07777) == 0640);

    /* nothing is left of what was reserved, but the rest of a block */
    check((size_t) st.st_blocks * 512 <= len + 65536);

    read_back = malloc(len + 1);
    check(read(fd, read_back, len + 1) == (ssize_t) len);
    check(memcmp(read_back, data, len) == 0);

    free(read_back);
    close(fd);
}


static void
expect_digest(upload_digest_t *digest, const unsigned char *data, size_t len)
{
    unsigned char    is[UPLOAD_DIGEST_HEX_MAX], should[UPLOAD_DIGEST_HEX_MAX];
    upload_digest_t  expected;

    upload_digest_init(&expected, KINDS);
    upload_digest_update(&expected, data, len);

    check(upload_digest_hex(digest, UPLOAD_DIGEST_SHA256, is) == 64);
    check(upload_digest_hex(&expected, UPLOAD_DIGEST_SHA256, should) == 64);
    check(memcmp(is, should, 64) == 0);
}


typedef struct {
    upload_sink_t         *sink;
    const upload_piece_t  *pieces;
    size_t                 len;
} hashing_t;


static void *
hash(void *arg)
{
    hashing_t  *h = arg;

    upload_sink_hash(h->sink, h->pieces, h->len);

    return NULL;
}


/* as upload_sink_take(), in two threads */

static int
take_forked(upload_sink_t *sink, const upload_piece_t *pieces, size_t n)
{
    int        err;
    size_t     i;
    hashing_t  h;
    pthread_t  thread;

    h.sink = sink;
    h.pieces = pieces;
    h.len = 0;

    for (i = 0; i < n; i++) {
        h.len += pieces[i].len;
    }

    upload_sink_fork(sink);

    check(pthread_create(&thread, NULL, hash, &h) == 0);
    err = upload_sink_write(sink, pieces, n);
    check(pthread_join(thread, NULL) == 0);

    upload_sink_join(sink, pieces, h.len);

    return err;
}


/* pieces of a size, or of any size if it is 0; every other time in threads */

static void
test_pieces(const char *path, const unsigned char *data, size_t len,
    size_t size, off_t reserve)
{
    int             forked = 0;
    size_t          pos, n, i;
    upload_sink_t   sink, again;
    upload_piece_t  pieces[PIECES];

    upload_sink_init(&sink, KINDS, 1);
    check(upload_sink_create(&sink, path, 0640) == 0);
    sink.reserve = reserve;

    for (pos = 0; pos < len; /* void */) {

        for (i = 0; i < PIECES && pos < len; i++, pos += n) {
            n = size ? size : 1 + (size_t) rand() % 60000;
            n = len - pos < n ? len - pos : n;

            pieces[i].data = data + pos;
            pieces[i].len = n;
        }

        check((forked ? take_forked : upload_sink_take)(&sink, pieces, i)
              == 0);
        check((size_t) sink.offset == pos);
        forked = !forked;
    }

    check(upload_sink_finish(&sink) == 0);
    check(sink.fd == -1);
    check(upload_sink_close(&sink) == 0);

    expect_file(path, data, len);
    expect_digest(&sink.digest, data, len);

    /* what is there can be hashed as well */

    upload_sink_init(&again, KINDS, 0);
    again.fd = open(path, O_RDONLY);
    again.offset = len;
    check(upload_sink_read_back(&again, 0) == 0);
    expect_digest(&again.digest, data, len);

    again.offset = len + 1;
    check(upload_sink_read_back(&again, 0) == EIO);
    check(again.failed != NULL);
    check(upload_sink_close(&again) == 0);

    check(unlink(path) == 0);
}


/* some of them empty, as the last of a body may be */

static void
test_empty(const char *path, const unsigned char *data)
{
    size_t          i, len;
    upload_sink_t   sink;
    upload_piece_t  pieces[PIECES];

    upload_sink_init(&sink, KINDS, 0);
    check(upload_sink_create(&sink, path, 0640) == 0);

    for (i = 0; i < PIECES; i++) {
        pieces[i].data = data;
        pieces[i].len = 0;
    }

    check(upload_sink_take(&sink, pieces, 0) == 0);
    check(upload_sink_take(&sink, pieces, 1) == 0);
    check(upload_sink_take(&sink, pieces, PIECES) == 0);
    check(sink.offset == 0);

    for (i = 0, len = 0; i < PIECES; i++) {
        pieces[i].data = data + len;
        pieces[i].len = (i < 100 && i % 3) ? i : 0;
        len += pieces[i].len;
    }

    check(upload_sink_take(&sink, pieces, PIECES) == 0);
    check(upload_sink_finish(&sink) == 0);

    expect_file(path, data, len);
    expect_digest(&sink.digest, data, len);
    check(unlink(path) == 0);
}


/* a disk says at once that it cannot take what was announced */

static void
test_full(const char *directory, const unsigned char *data)
{
    char            disk[1000], path[1100];
    upload_sink_t   sink;
    upload_piece_t  piece;

    snprintf(disk, sizeof(disk), "%s/disk", directory);
    snprintf(path, sizeof(path), "%s/file", disk);
    check(mkdir(disk, 0) == 0);

    /* where the test may have one */

    if (mount("none", disk, "tmpfs", 0, "size=1m") == 0) {
        piece.data = data;
        piece.len = 10;

        upload_sink_init(&sink, KINDS, 0);
        check(upload_sink_create(&sink, path, 0640) == 0);
        sink.reserve = 2000000;
        check(upload_sink_take(&sink, &piece, 1) == ENOSPC);
        check(strcmp(sink.failed, "given its space on the disk") == 0);
        check(sink.offset == 0);
        check(upload_sink_close(&sink) == 0);
        check(unlink(path) == 0);

        /* nothing was announced: what fits is there, and hashed */

        piece.len = 2000000;

        upload_sink_init(&sink, KINDS, 0);
        check(upload_sink_create(&sink, path, 0640) == 0);
        check(upload_sink_take(&sink, &piece, 1) == ENOSPC);
        check(strcmp(sink.failed, "written") == 0);
        check(sink.offset > 0);
        expect_digest(&sink.digest, data, sink.offset);
        check(upload_sink_close(&sink) == 0);
        expect_file(path, data, sink.offset);

        check(umount(disk) == 0);
    }

    check(rmdir(disk) == 0);
}


int
main(int argc, char **argv)
{
    size_t           i;
    char             path[1000], missing[1100];
    unsigned char   *data;
    struct rlimit    limit;
    upload_sink_t    sink;
    upload_digest_t  body;
    upload_piece_t   piece, pieces[PIECES];

    check(argc == 2);
    snprintf(path, sizeof(path), "%s/file", argv[1]);
    snprintf(missing, sizeof(missing), "%s/missing/file", argv[1]);

    srand(1);
    data = malloc(SIZE);

    for (i = 0; i < SIZE; i++) {
        data[i] = (unsigned char) rand();
    }

    umask(0777);

    test_pieces(path, data, 0, 1, 0);
    test_pieces(path, data, 0, 1, 1000000);
    test_pieces(path, data, 1, 1, 0);
    test_pieces(path, data, 1000, 1, 0);
    test_pieces(path, data, 100000, 128, 100000);
    test_pieces(path, data, 100000, 0, 5000000);
    test_pieces(path, data, SIZE, 0, 0);
    test_pieces(path, data, SIZE, SIZE, SIZE + 1000);

    test_empty(path, data);
    test_full(argv[1], data);

    upload_sink_init(&sink, 0, 0);
    check(upload_sink_close(&sink) == 0);
    check(upload_sink_create(&sink, missing, 0600) == ENOENT);
    check(upload_sink_create(&sink, path, 0640) == 0);

    piece.data = data;
    piece.len = 10;
    check(upload_sink_take(&sink, &piece, 1) == 0);
    check(upload_sink_close(&sink) == 0);
    check(upload_sink_close(&sink) == 0);

    /* exclusive: what is there stays as it is */
    check(upload_sink_create(&sink, path, 0600) == EEXIST);
    check(unlink(path) == 0);
    check(symlink("/nowhere", path) == 0);
    check(upload_sink_create(&sink, path, 0600) == EEXIST);
    check(unlink(path) == 0);

    /* an error of the disk in the middle: the digest is that of the file */
    signal(SIGXFSZ, SIG_IGN);
    limit.rlim_cur = limit.rlim_max = 1000;
    check(setrlimit(RLIMIT_FSIZE, &limit) == 0);

    upload_sink_init(&sink, KINDS, 0);
    check(upload_sink_create(&sink, path, 0640) == 0);
    piece.len = 950;
    check(upload_sink_take(&sink, &piece, 1) == 0);
    piece.data = data + 950;
    piece.len = 60;
    check(upload_sink_take(&sink, &piece, 1) == EFBIG);
    check(strcmp(sink.failed, "written") == 0);
    check(sink.offset == 1000);
    expect_digest(&sink.digest, data, 1000);
    check(upload_sink_close(&sink) == 0);
    check(unlink(path) == 0);

    /* and in the middle of a piece among many */

    for (i = 0; i < PIECES; i++) {
        pieces[i].data = data + 7 * i;
        pieces[i].len = 7;
    }

    upload_sink_init(&sink, KINDS, 0);
    check(upload_sink_create(&sink, path, 0640) == 0);
    check(upload_sink_take(&sink, pieces, PIECES) == EFBIG);
    check(sink.offset == 1000);
    expect_digest(&sink.digest, data, 1000);
    check(upload_sink_close(&sink) == 0);
    expect_file(path, data, 1000);
    check(unlink(path) == 0);

    /* by two threads, after a beginning that has its digest already */

    upload_sink_init(&sink, KINDS, 0);
    upload_digest_init(&body, KINDS);
    check(upload_sink_create(&sink, path, 0640) == 0);
    check(upload_sink_take(&sink, pieces, 50) == 0);
    sink.body = &body;
    check(take_forked(&sink, &pieces[50], 50) == 0);
    check(take_forked(&sink, &pieces[100], 50) == EFBIG);
    check(sink.offset == 1000);
    expect_digest(&sink.digest, data, 1000);
    expect_digest(&body, data + 7 * 50, 1000 - 7 * 50);
    check(take_forked(&sink, pieces, PIECES) == EFBIG);
    check(sink.offset == 1000);
    expect_digest(&sink.digest, data, 1000);
    expect_digest(&body, data + 7 * 50, 1000 - 7 * 50);
    check(upload_sink_close(&sink) == 0);
    check(unlink(path) == 0);

    /* only the rest is hashed, if the digest has the beginning */

    upload_sink_init(&sink, KINDS, 0);
    check(upload_sink_create(&sink, path, 0640) == 0);
    piece.data = data;
    piece.len = 900;
    check(upload_sink_take(&sink, &piece, 1) == 0);
    check(upload_sink_close(&sink) == 0);
    upload_digest_init(&sink.digest, KINDS);
    upload_digest_update(&sink.digest, data, 600);
    sink.fd = open(path, O_RDONLY);
    check(upload_sink_read_back(&sink, 600) == 0);
    expect_digest(&sink.digest, data, 900);
    check(upload_sink_read_back(&sink, 900) == 0);
    expect_digest(&sink.digest, data, 900);
    check(upload_sink_close(&sink) == 0);
    check(unlink(path) == 0);

    upload_sink_init(&sink, 0, 1);
    check(upload_sink_flush(&sink) == EBADF);

    free(data);
    printf("ok\n");

    return 0;
}
