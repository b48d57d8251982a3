
/*
 * The segment protocol: a Content-Range, a session id, and the ranges of a
 * file, which have to be what a map of its bytes says.
 *
 * Input: a byte that chooses, then a value, a state file, or ranges to add.
 */


#include "fuzz.h"
#include "upload_ranges.h"


/* bytes of a file that has a map */
#define TOTAL  1024


static void fuzz_content_range(fuzz_input_t *in);
static void fuzz_session_id(fuzz_input_t *in);
static void fuzz_state(fuzz_input_t *in);
static void fuzz_map(fuzz_input_t *in);
static void fuzz_invariants(upload_ranges_t *r);
static void fuzz_round_trip(upload_ranges_t *r, char separator, size_t room);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input_t  in;

    if (size > FUZZ_INPUT_MAX) {
        return -1;
    }

    in.pos = data;
    in.last = data + size;

    switch (fuzz_byte(&in) % 4) {

    case 0:
        fuzz_content_range(&in);
        break;

    case 1:
        fuzz_session_id(&in);
        break;

    case 2:
        fuzz_state(&in);
        break;

    case 3:
        fuzz_map(&in);
        break;
    }

    return 0;
}


static void
fuzz_content_range(fuzz_input_t *in)
{
    int                      n;
    char                     text[100];
    upload_str_t             s;
    unsigned char           *value;
    upload_content_range_t   range, again;

    s = fuzz_take(in, SIZE_MAX);
    value = fuzz_copy(s.data, s.len);

    if (upload_content_range_parse(value, s.len, &range) == 0) {
        check(range.first >= 0);
        check(range.first <= range.last);
        check(range.last < range.total);

        n = snprintf(text, sizeof(text), "bytes %lld-%lld/%lld",
                     (long long) range.first, (long long) range.last,
                     (long long) range.total);

        /* but for zeros in front that is all there may be */

        check((size_t) n <= s.len);
        check(upload_content_range_parse((unsigned char *) text, n, &again)
              == 0);
        check(range.first == again.first);
        check(range.last == again.last);
        check(range.total == again.total);

        check(upload_content_range_parse((unsigned char *) text, n + 1,
                                         &again)
              != 0);
    }

    free(value);
}


static void
fuzz_session_id(fuzz_input_t *in)
{
    int             valid;
    size_t          i;
    upload_str_t    s;
    unsigned char  *id;

    static const char  allowed[] = "0123456789_-abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    s = fuzz_take(in, SIZE_MAX);
    id = fuzz_copy(s.data, s.len);

    valid = s.len > 0 && s.len <= UPLOAD_SESSION_ID_MAX;

    for (i = 0; i < s.len; i++) {
        if (!memchr(allowed, id[i], sizeof(allowed) - 1)) {
            valid = 0;
        }
    }

    check(upload_session_id_valid(id, s.len) == valid);

    free(id);
}


static void
fuzz_state(fuzz_input_t *in)
{
    off_t             total;
    unsigned          room;
    upload_str_t      s;
    unsigned char    *text;
    upload_ranges_t   ranges;

    room = fuzz_byte(in);
    s = fuzz_line(in);

    if (upload_offset_parse(s.data, s.len, &total) == 0) {
        return;
    }

    s = fuzz_take(in, SIZE_MAX);
    text = fuzz_copy(s.data, s.len);

    upload_ranges_init(&ranges, total);

    (void) upload_ranges_parse(&ranges, (char *) text, s.len);

    fuzz_invariants(&ranges);
    fuzz_round_trip(&ranges, '\n', room);
    fuzz_round_trip(&ranges, ',', room);

    upload_ranges_free(&ranges);
    upload_ranges_free(&ranges);

    free(text);
}


static void
fuzz_map(fuzz_input_t *in)
{
    off_t             total, first, last, i;
    size_t            n;
    unsigned          room;
    unsigned char     map[TOTAL];
    upload_ranges_e   rc;
    upload_ranges_t   ranges;

    room = fuzz_byte(in);
    total = fuzz_byte(in) * 4;

    memset(map, 0, sizeof(map));
    upload_ranges_init(&ranges, total);

    while (in->pos < in->last) {

        first = fuzz_byte(in) * 4 + fuzz_byte(in) % 4;
        last = first + fuzz_byte(in);

        rc = upload_ranges_add(&ranges, first, last);

        if (last >= total) {
            check(rc == UPLOAD_RANGES_MALFORMED);
            continue;
        }

        check(rc == UPLOAD_RANGES_OK);
        memset(map + first, 1, last - first + 1);
        fuzz_invariants(&ranges);
    }

    for (i = 0, n = 0; i < total; i = last + 1) {
        last = i;

        if (map[i] == 0) {
            continue;
        }

        while (last + 1 < total && map[last + 1]) {
            last++;
        }

        check(n < ranges.n);
        check(ranges.elts[n].first == i);
        check(ranges.elts[n].last == last);
        n++;
    }

    check(n == ranges.n);

    for (i = 0; i < total && map[i]; i++) { /* void */ }

    check(upload_ranges_prefix(&ranges) == i);
    check(upload_ranges_complete(&ranges) == (i == total));

    fuzz_round_trip(&ranges, '\n', room);
    fuzz_round_trip(&ranges, ',', room);

    upload_ranges_free(&ranges);
}


/* within the file, sorted, disjoint, not adjacent */

static void
fuzz_invariants(upload_ranges_t *r)
{
    size_t  i;

    for (i = 0; i < r->n; i++) {
        check(r->elts[i].first >= 0);
        check(r->elts[i].first <= r->elts[i].last);
        check(r->elts[i].last < r->total);
        check(i == 0 || r->elts[i - 1].last + 1 < r->elts[i].first);
    }
}


static void
fuzz_round_trip(upload_ranges_t *r, char separator, size_t room)
{
    char             *text, *part;
    size_t            i, size, len;
    upload_ranges_t   again;

    size = upload_ranges_length(r, separator);
    text = malloc(size + 1);
    check(text != NULL);

    check(upload_ranges_format(r, separator, text, size) == size);

    /* what does not fit is left out as a whole */

    part = malloc(room ? room : 1);
    check(part != NULL);

    len = upload_ranges_format(r, separator, part, room);
    check(len <= room && len <= size);
    check(len == 0 || memcmp(part, text, len) == 0);
    check(size > room || len == size);

    if (separator == '\n') {
        check(len == 0 || part[len - 1] == '\n');

    } else {
        check(len == 0 || len == size || text[len] == separator);

        /* as a file it has an entry in each line */

        for (i = 0; i < size; i++) {
            text[i] = text[i] == separator ? '\n' : text[i];
        }

        if (size) {
            text[size++] = '\n';
        }
    }

    upload_ranges_init(&again, r->total);

    check(upload_ranges_parse(&again, text, size) == UPLOAD_RANGES_OK);
    check(again.n == r->n);
    check(r->n == 0 || memcmp(again.elts, r->elts,
                              r->n * sizeof(upload_range_t)) == 0);

    upload_ranges_free(&again);

    free(part);
    free(text);
}
