
/*
 * The checkpoint of a partial file: garbage with a valid sum, and slots that
 * were written, after which the digests have to go on as if nothing had been.
 *
 * Input: a byte that chooses; then the text of a slot, or the kinds of
 * digests, the sequence, a byte to spoil, the length of the content before
 * the checkpoint, and the content.
 */


#include <zlib.h>

#include "fuzz.h"
#include "upload_checkpoint.h"


#define SUMMED   2

/* "crc32 ", 8 digits, LF */
#define SUM_LEN  15

#define ALL      ((1u << UPLOAD_DIGEST_KINDS) - 1)


static void fuzz_slot(fuzz_input_t *in, int summed);
static void fuzz_written(fuzz_input_t *in);
static void fuzz_same_checkpoint(upload_checkpoint_t *cp,
    upload_checkpoint_t *again);
static void fuzz_same_digests(upload_digest_t *digest,
    upload_digest_t *other);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned      choice;
    fuzz_input_t  in;

    if (size > FUZZ_INPUT_MAX) {
        return -1;
    }

    in.pos = data;
    in.last = data + size;

    choice = fuzz_byte(&in);

    if (choice & 1) {
        fuzz_written(&in);

    } else {
        fuzz_slot(&in, choice & SUMMED);
    }

    return 0;
}


static void
fuzz_slot(fuzz_input_t *in, int summed)
{
    char                  text[FUZZ_INPUT_MAX + SUM_LEN + 1];
    char                  digests[UPLOAD_DIGEST_TEXT_MAX];
    size_t                n, len;
    upload_str_t          s;
    unsigned char        *slot;
    upload_checkpoint_t   cp, again;

    s = fuzz_take(in, SIZE_MAX);
    len = s.len;

    if (len) {
        memcpy(text, s.data, len);
    }

    /* otherwise hardly any input would come further than to its sum */

    if (summed) {
        len += sprintf(text + len, "crc32 %08lx\n", crc32(0, s.data, s.len));
    }

    slot = fuzz_copy((unsigned char *) text, len);

    memset(&cp, 0, sizeof(upload_checkpoint_t));

    if (upload_checkpoint_parse((char *) slot, len, &cp) == 0) {
        check(cp.sequence > 0);
        check(cp.offset >= 0);

        /* the digests have one form only; the sum's line follows them */

        n = upload_digest_export(&cp.digest, digests, sizeof(digests));
        len = strnlen((char *) slot, len) - SUM_LEN;
        check(n <= len && memcmp(slot + len - n, digests, n) == 0);

        len = upload_checkpoint_format(&cp, text);
        check(upload_checkpoint_parse(text, len, &again) == 0);
        fuzz_same_checkpoint(&cp, &again);
    }

    free(slot);
}


static void
fuzz_written(fuzz_input_t *in)
{
    char                  slot[UPLOAD_CHECKPOINT_SLOT];
    size_t                len, other;
    upload_str_t          before, after;
    upload_digest_t       whole;
    upload_checkpoint_t   cp, again;

    memset(&cp, 0, sizeof(upload_checkpoint_t));

    upload_digest_init(&cp.digest, fuzz_byte(in) & ALL);
    cp.sequence = fuzz_byte(in) + 1;

    other = fuzz_byte(in) * 8;
    len = fuzz_byte(in) * 16;
    before = fuzz_take(in, len + fuzz_byte(in));
    after = fuzz_take(in, SIZE_MAX);

    upload_digest_init(&whole, cp.digest.kinds);
    upload_digest_update(&whole, before.data, before.len + after.len);

    upload_digest_update(&cp.digest, before.data, before.len);
    cp.offset = before.len;

    len = upload_checkpoint_format(&cp, slot);
    check(len > 0 && len < UPLOAD_CHECKPOINT_SLOT && slot[len] == '\0');

    /* with the NULs and without */

    check(upload_checkpoint_parse(slot, len, &again) == 0);
    fuzz_same_checkpoint(&cp, &again);

    check(upload_checkpoint_parse(slot, sizeof(slot), &again) == 0);
    fuzz_same_checkpoint(&cp, &again);

    upload_digest_update(&again.digest, after.data, after.len);
    fuzz_same_digests(&again.digest, &whole);

    /* any other byte in it, and it does not count */

    slot[other % len] ^= 1;
    check(upload_checkpoint_parse(slot, sizeof(slot), &again) != 0);
}


static void
fuzz_same_checkpoint(upload_checkpoint_t *cp, upload_checkpoint_t *again)
{
    check(cp->sequence == again->sequence);
    check(cp->offset == again->offset);
    fuzz_same_digests(&cp->digest, &again->digest);
}


static void
fuzz_same_digests(upload_digest_t *digest, upload_digest_t *other)
{
    size_t                 len;
    unsigned char          hex[UPLOAD_DIGEST_HEX_MAX];
    unsigned char          other_hex[UPLOAD_DIGEST_HEX_MAX];
    upload_digest_kind_e   kind;

    check(digest->kinds == other->kinds);

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {
        len = upload_digest_hex(digest, kind, hex);

        check(len <= sizeof(hex));
        check(len == upload_digest_hex(other, kind, other_hex));
        check(memcmp(hex, other_hex, len) == 0);
    }
}
