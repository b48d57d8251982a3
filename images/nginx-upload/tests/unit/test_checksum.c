
/*
 * The digest that a client has announced for a body: what is one, and what
 * becomes of a file whose latest body has another.
 */


#define _GNU_SOURCE
#include <sys/stat.h>

#include "unit.h"
#include "upload_append.h"


#define ALL   ((1 << UPLOAD_DIGEST_KINDS) - 1)
#define SIZE  100000


typedef struct {
    upload_sink_t        sink;
    upload_append_t      append;
    upload_checksum_t    checksum;
} handle_t;


static const char *names[] = { "crc32", "md5", "sha1", "sha256", "sha512" };

static char           path[1100], checkpoint[1100];
static unsigned char  content[SIZE];


/* what a client announces for a body */

static size_t
announce(char *text, upload_digest_kind_e kind, const void *data, size_t len)
{
    size_t           n;
    upload_digest_t  digest;

    upload_digest_init(&digest, 1 << kind);
    upload_digest_update(&digest, data, len);

    n = (size_t) sprintf(text, "%s ", names[kind]);

    return n + upload_digest_hex(&digest, kind, (unsigned char *) text + n);
}


static void
parses(void)
{
    char                   text[200], other[200];
    size_t                 i, len;
    upload_digest_t        digest;
    upload_checksum_t      checksum;
    upload_digest_kind_e   kind;

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {
        len = announce(text, kind, "abc", 3);

        upload_digest_init(&digest, ALL);
        upload_digest_update(&digest, "abc", 3);

        check(upload_checksum_parse(&checksum, text, len) == 0);
        check(checksum.kind == kind);
        check(checksum.digest.kinds == 1u << kind);
        check(upload_checksum_matches(&checksum, &digest));
        check(!upload_checksum_matches(&checksum, &checksum.digest));

        upload_digest_update(&checksum.digest, "abc", 3);
        check(upload_checksum_matches(&checksum, &checksum.digest));

        /* letters may be of either case */

        for (i = 0; i < len; i++) {
            other[i] = text[i] >= 'a' && text[i] <= 'z' ? text[i] - 0x20
                                                        : text[i];
        }

        check(upload_checksum_parse(&checksum, other, len) == 0);
        check(upload_checksum_matches(&checksum, &digest));

        /* no shorter, no longer, no other letter */

        for (i = 0; i < len; i++) {
            check(upload_checksum_parse(&checksum, text, i) == -1);
        }

        memcpy(other, text, len);
        other[len] = '0';
        check(upload_checksum_parse(&checksum, other, len + 1) == -1);

        for (i = strlen(names[kind]); i < len; i++) {
            memcpy(other, text, len);
            other[i] = 'g';
            check(upload_checksum_parse(&checksum, other, len) == -1);
        }

        /* another digest is none */

        memcpy(other, text, len);
        other[len - 1] = text[len - 1] == '0' ? '1' : '0';
        check(upload_checksum_parse(&checksum, other, len) == 0);
        check(!upload_checksum_matches(&checksum, &digest));
    }

    /* a digest of another kind says nothing */

    len = announce(text, UPLOAD_DIGEST_MD5, "abc", 3);
    upload_digest_init(&digest, ALL & ~(1 << UPLOAD_DIGEST_MD5));
    upload_digest_update(&digest, "abc", 3);
    check(upload_checksum_parse(&checksum, text, len) == 0);
    check(!upload_checksum_matches(&checksum, &digest));

    memcpy(text, "md4", 3);
    check(upload_checksum_parse(&checksum, text, len) == -1);
}


static void
begin(handle_t *h, unsigned kinds, size_t offset)
{
    upload_sink_init(&h->sink, kinds, 0);
    upload_append_init(&h->append, &h->sink);

    h->append.path = path;
    h->append.checkpoint_path = checkpoint;
    h->append.mode = 0600;
    h->append.offset = offset;
}


/* one request that brings a part of the content, and announces another */

static int
request(unsigned kinds, upload_digest_kind_e kind, size_t from, size_t to,
    const void *announced)
{
    int             rc;
    char            text[200];
    size_t          len;
    handle_t        h;
    upload_piece_t  piece;

    begin(&h, kinds, from);
    h.append.checksum = &h.checksum;

    len = announce(text, kind, announced, to - from);
    check(upload_checksum_parse(&h.checksum, text, len) == 0);
    check(upload_append_open(&h.append) == 0);

    piece.data = content + from;
    piece.len = to - from;
    check(upload_sink_take(&h.sink, &piece, 1) == 0);

    rc = upload_append_finish(&h.append);

    if (rc) {
        check(upload_append_keep(&h.append) == 0);
    }

    upload_append_close(&h.append);

    return rc;
}


/* what is in the file: no more, and with that digest */

static void
expect(unsigned kinds, size_t len)
{
    size_t                 n;
    handle_t               h;
    struct stat            st;
    unsigned char          a[UPLOAD_DIGEST_HEX_MAX], b[UPLOAD_DIGEST_HEX_MAX];
    upload_digest_t        whole;
    upload_digest_kind_e   kind;

    check(stat(path, &st) == 0);
    check((size_t) st.st_size == len);

    begin(&h, kinds, len);
    check(upload_append_open(&h.append) == 0);
    check((size_t) h.append.checkpoint.offset == len);

    upload_digest_init(&whole, kinds);
    upload_digest_update(&whole, content, len);

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {
        n = upload_digest_hex(&whole, kind, a);
        check(upload_digest_hex(&h.sink.digest, kind, b) == n);
        check(memcmp(a, b, n) == 0);
    }

    upload_append_close(&h.append);
}


static void
decides(void)
{
    size_t                 from;
    unsigned               kinds;
    upload_digest_kind_e   kind;

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {

        for (kinds = 0; kinds <= ALL; kinds += ALL / 3) {
            (void) remove(path);
            (void) remove(checkpoint);

            for (from = 0; from < SIZE; from += SIZE / 4) {

                check(request(kinds, kind, from, from + SIZE / 4, content + 1)
                      == UPLOAD_APPEND_CHECKSUM);
                expect(kinds, from);

                check(request(kinds, kind, from, from + SIZE / 4,
                              content + from)
                      == 0);
                expect(kinds, from + SIZE / 4);
            }

            /* nothing has a digest, too */

            check(request(kinds, kind, SIZE, SIZE, "") == 0);
            expect(kinds, SIZE);
        }
    }
}


int
main(int argc, char **argv)
{
    size_t  i;

    check(argc == 2);

    (void) snprintf(path, sizeof(path), "%s/file", argv[1]);
    (void) snprintf(checkpoint, sizeof(checkpoint), "%s/file.checkpoint",
                    argv[1]);

    for (i = 0; i < SIZE; i++) {
        content[i] = (unsigned char) (i * 2654435761u >> 11);
    }

    parses();
    decides();

    return 0;
}
