
/*
 * The checkpoint of a partial file: what was saved is loaded, a torn save
 * leaves the one before, and garbage is refused.
 */


#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "unit.h"
#include "upload_checkpoint.h"


#define ALL   ((1 << UPLOAD_DIGEST_KINDS) - 1)

#define SLOT  UPLOAD_CHECKPOINT_SLOT

#define HEAD  "upload-checkpoint 1\nsequence 3\noffset 0\n"


static void
start(upload_checkpoint_t *cp, unsigned kinds)
{
    memset(cp, 0, sizeof(upload_checkpoint_t));
    upload_digest_init(&cp->digest, kinds);
}


static void
take(upload_checkpoint_t *cp, const char *data)
{
    upload_digest_update(&cp->digest, data, strlen(data));
    cp->offset += strlen(data);
}


static void
expect(int fd, const upload_checkpoint_t *cp)
{
    size_t                len;
    unsigned char         a[UPLOAD_DIGEST_HEX_MAX], b[UPLOAD_DIGEST_HEX_MAX];
    upload_checkpoint_t   loaded;
    upload_digest_kind_e  kind;

    memset(&loaded, 0xff, sizeof(upload_checkpoint_t));
    check(upload_checkpoint_load(fd, &loaded) == 0);

    check(loaded.sequence == cp->sequence);
    check(loaded.offset == cp->offset);
    check(loaded.same_boot);
    check(loaded.digest.kinds == cp->digest.kinds);

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {
        len = upload_digest_hex(&cp->digest, kind, a);
        check(upload_digest_hex(&loaded.digest, kind, b) == len);
        check(memcmp(a, b, len) == 0);
    }
}


static void
expect_none(int fd)
{
    upload_checkpoint_t  cp;

    memset(&cp, 0xff, sizeof(upload_checkpoint_t));
    check(upload_checkpoint_load(fd, &cp) == ENODATA);
    check(cp.sequence == 0);
    check(cp.offset == 0);
    check(cp.digest.kinds == 0);
}


static void
put(int fd, const void *data, size_t len, off_t offset)
{
    check(pwrite(fd, data, len, offset) == (ssize_t) len);
}


static void
get(int fd, char *slot, off_t offset)
{
    check(pread(fd, slot, SLOT, offset) == SLOT);
}


static void
test_roundtrip(int fd)
{
    int                  i;
    unsigned             kinds;
    struct stat          st;
    upload_checkpoint_t  cp;

    expect_none(fd);

    for (kinds = 0; kinds <= ALL; kinds++) {
        start(&cp, kinds);

        for (i = 1; i < 200; i++) {
            check(upload_checkpoint_save(fd, &cp, i % 50 == 0) == 0);
            check(cp.sequence == (unsigned) i);
            expect(fd, &cp);
            take(&cp, "some bytes");
        }

        check(fstat(fd, &st) == 0);
        check(st.st_size == 2 * SLOT);
    }

    /* what was loaded goes on */

    check(upload_checkpoint_load(fd, &cp) == 0);
    take(&cp, "more");
    check(upload_checkpoint_save(fd, &cp, 1) == 0);
    check(cp.sequence == 200);
    expect(fd, &cp);

    /* a new start leaves nothing of the old one */

    start(&cp, ALL);
    check(upload_checkpoint_save(fd, &cp, 0) == 0);
    expect(fd, &cp);
    check(ftruncate(fd, SLOT) == 0);
    expect_none(fd);
}


/* the newer slot is torn at each byte, or has a wrong one */

static void
test_torn(int fd, unsigned saves)
{
    char                 slot[SLOT], before[SLOT], torn[SLOT];
    off_t                newer;
    size_t               i, len;
    unsigned             n;
    upload_checkpoint_t  cp, older;

    start(&cp, ALL);

    for (n = 1; n < saves; n++) {
        take(&cp, "some bytes that grow");
        check(upload_checkpoint_save(fd, &cp, 0) == 0);
    }

    check(ftruncate(fd, 2 * SLOT) == 0);

    newer = saves % 2 * SLOT;
    get(fd, before, newer);

    older = cp;
    take(&cp, "some more");
    check(upload_checkpoint_save(fd, &cp, 0) == 0);
    expect(fd, &cp);

    get(fd, slot, newer);
    len = strlen(slot);

    for (i = 0; i < len; i++) {

        /* cut: zeros behind, what was there before behind, nothing behind */

        memset(torn, 0, SLOT);
        memcpy(torn, slot, i);
        put(fd, torn, SLOT, newer);
        expect(fd, &older);

        if (memcmp(slot + i, before + i, SLOT - i) != 0) {
            memcpy(torn + i, before + i, SLOT - i);
            put(fd, torn, SLOT, newer);
            expect(fd, &older);
        }

        if (newer) {
            check(ftruncate(fd, newer + i) == 0);
            expect(fd, &older);
            check(ftruncate(fd, newer + SLOT) == 0);
        }

        /* another byte */

        memcpy(torn, slot, SLOT);

        for (n = 0; n < 8; n++) {
            torn[i] = slot[i] ^ (1 << n);
            put(fd, torn, SLOT, newer);
            expect(fd, &older);
        }

        torn[i] = '\0';
        put(fd, torn, SLOT, newer);
        expect(fd, &older);
    }

    /* the text may not go on, but what follows its NUL does not count */

    memcpy(torn, slot, SLOT);
    torn[len] = '\n';
    put(fd, torn, SLOT, newer);
    expect(fd, &older);

    memset(torn + len + 1, 'x', SLOT - len - 1);
    torn[len] = '\0';
    put(fd, torn, SLOT, newer);
    expect(fd, &cp);

    /* saving goes on after the torn slot, and in it */

    put(fd, before, SLOT, newer);
    put(fd, "x", 1, newer);
    check(upload_checkpoint_load(fd, &cp) == 0);
    take(&cp, "again");
    check(upload_checkpoint_save(fd, &cp, 0) == 0);
    check(cp.sequence == saves);
    expect(fd, &cp);

    /* both are gone */

    put(fd, "x", 1, 0);
    put(fd, "x", 1, SLOT);
    expect_none(fd);
}


/* a slot in the other's place is none that was saved there */

static void
test_place(int fd)
{
    char                 slot[SLOT];
    upload_checkpoint_t  cp;

    start(&cp, ALL);
    check(upload_checkpoint_save(fd, &cp, 0) == 0);

    get(fd, slot, SLOT);
    put(fd, slot, SLOT, 0);
    expect(fd, &cp);
    check(ftruncate(fd, SLOT) == 0);
    expect_none(fd);
}


static void
test_errors(const char *path)
{
    int                  fd;
    upload_checkpoint_t  cp;

    start(&cp, ALL);
    check(upload_checkpoint_load(-1, &cp) == EBADF);
    check(upload_checkpoint_save(-1, &cp, 0) == EBADF);

    fd = open(path, O_RDONLY);
    check(fd != -1);
    cp.sequence = 1;
    check(upload_checkpoint_save(fd, &cp, 0) == EBADF);
    check(cp.sequence == 1);
    close(fd);

    fd = open("/dev/full", O_RDWR);
    check(fd != -1);
    check(upload_checkpoint_save(fd, &cp, 0) == ENOSPC);
    check(cp.sequence == 1);
    close(fd);
}


/* the text, with a right checksum, in memory of just its size */

static int
parse(const char *text, upload_checkpoint_t *cp)
{
    int      rc;
    char    *slot;
    size_t   len;

    len = strlen(text);
    slot = malloc(len + 16);
    memcpy(slot, text, len);
    sprintf(slot + len, "crc32 %08lx\n",
            crc32(0, (const unsigned char *) text, len));
    len += 15;
    slot = realloc(slot, len);

    rc = upload_checkpoint_parse(slot, len, cp);
    free(slot);

    return rc;
}


static void
refuse(const char *text)
{
    upload_checkpoint_t  cp;

    check(parse(text, &cp) == -1);
}


static void
test_parse(void)
{
    char                 slot[SLOT], text[200], id[100];
    FILE                *f;
    upload_checkpoint_t  cp;

    /* the format is documented: other programs read it */

    f = fopen("/proc/sys/kernel/random/boot_id", "r");
    check(f != NULL);
    check(fscanf(f, "%99s", id) == 1);
    fclose(f);

    start(&cp, 1 << UPLOAD_DIGEST_CRC32);
    take(&cp, "abc");
    cp.sequence = 41;

    sprintf(text, "upload-checkpoint 1\nsequence 41\noffset 3\nboot %s\n"
            "crc32 352441c2\n", id);
    sprintf(text + strlen(text), "crc32 %08lx\n",
            crc32(0, (const unsigned char *) text, strlen(text)));

    memset(slot, 'x', SLOT);
    check(upload_checkpoint_format(&cp, slot) == strlen(text));
    check(strcmp(slot, text) == 0);
    check(slot[SLOT - 1] == '\0');

    check(parse(HEAD "boot x\n", &cp) == 0);
    check(cp.sequence == 3);
    check(cp.offset == 0);
    check(cp.digest.kinds == 0);
    check(!cp.same_boot);

    sprintf(text, HEAD "boot %s\n", id);
    check(parse(text, &cp) == 0);
    check(cp.same_boot);

    sprintf(text, HEAD "boot %sx\n", id);
    check(parse(text, &cp) == 0);
    check(!cp.same_boot);

    sprintf(text, HEAD "boot %.35s\n", id);
    check(parse(text, &cp) == 0);
    check(!cp.same_boot);

    /* not known is not the same */
    check(parse(HEAD "boot -\n", &cp) == 0);
    check(!cp.same_boot);

    sprintf(text, HEAD "boot %064d\n", 0);
    check(parse(text, &cp) == 0);
    sprintf(text, HEAD "boot %065d\n", 0);
    refuse(text);

    check(parse("upload-checkpoint 1\nsequence 9223372036854775807\n"
                "offset 9223372036854775807\nboot x\n", &cp) == 0);
    check(cp.offset == 9223372036854775807ll);
    check(cp.sequence == 9223372036854775807ull);

    check(upload_checkpoint_parse("", 0, &cp) == -1);
    check(upload_checkpoint_parse("crc32 00000000\n", 15, &cp) == -1);

    refuse("");
    refuse("\n");
    refuse("upload-checkpoint 1\n");
    refuse("upload-checkpoint 2\nsequence 3\noffset 0\nboot x\n");
    refuse("upload-checkpoint 11\nsequence 3\noffset 0\nboot x\n");
    refuse("upload-checkpoint \nsequence 3\noffset 0\nboot x\n");
    refuse("upload-checkpoint 1\r\nsequence 3\noffset 0\nboot x\n");
    refuse("upload-checkpoint 1\nsequence 0\noffset 0\nboot x\n");
    refuse("upload-checkpoint 1\nsequence \noffset 0\nboot x\n");
    refuse("upload-checkpoint 1\nsequence -1\noffset 0\nboot x\n");
    refuse("upload-checkpoint 1\nsequence 3 \noffset 0\nboot x\n");
    refuse("upload-checkpoint 1\nsequence 9223372036854775808\noffset 0\n"
           "boot x\n");
    refuse("upload-checkpoint 1\nsequence 3\nboot x\n");
    refuse("upload-checkpoint 1\noffset 0\nsequence 3\nboot x\n");
    refuse("upload-checkpoint 1\nsequence 3\noffset \nboot x\n");
    refuse("upload-checkpoint 1\nsequence 3\noffset -1\nboot x\n");
    refuse("upload-checkpoint 1\nsequence 3\noffset 0x1\nboot x\n");
    refuse("upload-checkpoint 1\nsequence 3\noffset 9223372036854775808\n"
           "boot x\n");
    refuse(HEAD);
    refuse(HEAD "boot");
    refuse(HEAD "boot x");
    refuse(HEAD "boot \n");
    refuse(HEAD "boot x\n\n");
    refuse(HEAD "boot x\nboot x\n");
    refuse(HEAD "boot x\ncrc32 0\n");
    refuse(HEAD "boot x\nmd4 00\n");
    refuse(" " HEAD "boot x\n");
}


/* nothing of it is to be found valid, or to be read beyond its end */

static void
test_garbage(int fd)
{
    int                  i, n;
    char                 slot[SLOT], *text;
    size_t               len, j;
    upload_checkpoint_t  cp;

    for (i = 0; i < 1000; i++) {

        for (j = 0; j < SLOT; j++) {
            slot[j] = (char) (i % 2 ? rand() : " 0123\nabcrs"[rand() % 11]);
        }

        len = (size_t) rand() % (SLOT + 1);
        text = malloc(len ? len : 1);
        memcpy(text, slot, len);
        check(upload_checkpoint_parse(text, len, &cp) == -1);
        free(text);

        if (i < 50) {
            check(ftruncate(fd, 0) == 0);
            put(fd, slot, SLOT, SLOT);
            put(fd, slot, len, 0);
            expect_none(fd);
        }
    }

    /* damage that a right checksum hides: taken or refused, but no crash */

    for (i = 0; i < 20000; i++) {
        start(&cp, rand() & ALL);
        take(&cp, "some bytes");
        cp.sequence = 1;
        len = upload_checkpoint_format(&cp, slot) - 15;

        for (n = rand() % 4; n >= 0; n--) {
            slot[(size_t) rand() % len] = (char) (1 + rand() % 255);
        }

        slot[i % 3 ? len : (size_t) rand() % len] = '\0';
        (void) parse(slot, &cp);
    }

    check(ftruncate(fd, 0) == 0);
}


int
main(int argc, char **argv)
{
    int       fd;
    char      path[1000];
    unsigned  saves;

    check(argc == 2);
    snprintf(path, sizeof(path), "%s/checkpoint", argv[1]);

    fd = open(path, O_RDWR|O_CREAT|O_EXCL, 0600);
    check(fd != -1);
    srand(1);

    test_roundtrip(fd);

    for (saves = 2; saves < 12; saves++) {
        test_torn(fd, saves);
    }

    test_place(fd);
    test_errors(path);
    test_parse();
    test_garbage(fd);

    close(fd);
    check(unlink(path) == 0);
    printf("ok\n");

    return 0;
}
