
/*
 * The segment protocol's pieces: the set of ranges against a map of bytes,
 * and every malformed form of a header or a state file.
 */


#include "unit.h"
#include "upload_ranges.h"


#define MAX    9223372036854775807ll

#define TOTAL  200

#define TEXT_SIZE  20000


static void
check_order(const upload_ranges_t *ranges)
{
    size_t  i;

    for (i = 0; i < ranges->n; i++) {
        check(ranges->elts[i].first >= 0);
        check(ranges->elts[i].first <= ranges->elts[i].last);
        check(ranges->elts[i].last < ranges->total);

        /* neither overlapping nor adjacent */
        check(i == 0
              || ranges->elts[i].first > ranges->elts[i - 1].last + 1);
    }
}


static void
expect(const upload_ranges_t *ranges, char separator, const char *text)
{
    char    *out;
    size_t   len;

    check_order(ranges);

    len = upload_ranges_length(ranges, separator);
    check(len == strlen(text));

    out = malloc(len + 1);
    check(upload_ranges_format(ranges, separator, out, len) == len);
    check(memcmp(out, text, len) == 0);
    free(out);
}


/* memory of just the size, so that each byte behind it counts */

static int
content_range(const char *value, upload_content_range_t *range)
{
    int             rc;
    size_t          len;
    unsigned char  *exact;

    len = strlen(value);
    exact = malloc(len ? len : 1);
    memcpy(exact, value, len);

    rc = upload_content_range_parse(exact, len, range);
    free(exact);

    return rc;
}


static void
test_content_range(void)
{
    size_t                  i;
    upload_content_range_t  range;
    static const char      *malformed[] = {
        "", "b", "bytes", "bytes ", "bytes 0", "bytes 0-", "bytes 0-0",
        "bytes 0-0/", "bytes -", "bytes -/", "bytes 0-/1", "bytes -0/1",
        "bytes -1-0/1", "bytes 0-0/0", "bytes 0-1/1", "bytes 1-0/2",
        "bytes 0-0/*", "bytes */1", "bytes */*", "bytes *-0/1",
        "bytes 0-*/1", "bytes 0-0/1 ", "bytes 0-0/1,", "bytes 0-0/1, 2-3/4",
        "bytes 0-0/1\n", "bytes 0-0/1x", "bytes 0-0/1-", "bytes 0-0/1/1",
        "bytes  0-0/1", "bytes\t0-0/1", "bytes=0-0/1", "bytes0-0/1",
        " bytes 0-0/1", "byte 0-0/1", "octets 0-0/1", "0-0/1",
        "bytes 0 -0/1", "bytes 0- 0/1", "bytes 0-0 /1", "bytes 0-0/ 1",
        "bytes +0-0/1", "bytes 0-+0/1", "bytes 0-0/+1", "bytes 0x0-0/1",
        "bytes a-b/c", "bytes 0-0/1.0", "bytes 0:0/1", "bytes 0-0:1",
        "bytes 0-0/9223372036854775808",
        "bytes 0-9223372036854775807/9223372036854775807",
        "bytes 0-9223372036854775808/9223372036854775809",
        "bytes 9223372036854775808-9223372036854775808/1",
        "bytes 0-0/18446744073709551617",
        "bytes 0-18446744073709551616/1",
        "bytes 18446744073709551616-0/1",
        "bytes 0-0/99999999999999999999999999999999999999999999999999"
    };

    check(content_range("bytes 0-0/1", &range) == 0);
    check(range.first == 0 && range.last == 0 && range.total == 1);
    check(content_range("bytes 5-7/8", &range) == 0);
    check(range.first == 5 && range.last == 7 && range.total == 8);
    check(content_range("BYTES 5-7/9", &range) == 0);
    check(content_range("bYteS 005-0007/00008", &range) == 0);
    check(range.first == 5 && range.last == 7 && range.total == 8);
    check(content_range("bytes 9223372036854775806-9223372036854775806/"
                        "9223372036854775807", &range) == 0);
    check(range.first == MAX - 1);
    check(range.last == MAX - 1);
    check(range.total == MAX);

    for (i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        check(content_range(malformed[i], &range) == -1);
    }

    /* a NUL ends nothing */
    check(upload_content_range_parse((const unsigned char *) "bytes 0-0/1\0",
                                     12, &range) == -1);
}


static void
test_offset(void)
{
    off_t  n;

    check(upload_offset_parse("", 0, &n) == 0);
    check(upload_offset_parse("x", 1, &n) == 0);
    check(upload_offset_parse("12", 1, &n) == 1 && n == 1);
    check(upload_offset_parse("12x", 3, &n) == 2 && n == 12);
    check(upload_offset_parse("9223372036854775807", 19, &n) == 19);
    check(n == MAX);
    check(upload_offset_parse("9223372036854775808", 19, &n) == 0);
    check(upload_offset_parse("9223372036854775810", 19, &n) == 0);
    check(upload_offset_parse("10000000000000000000", 20, &n) == 0);
}


static void
test_session_id(void)
{
    int            c, good;
    unsigned char  id[UPLOAD_SESSION_ID_MAX + 1];

    memset(id, 'a', sizeof(id));

    check(!upload_session_id_valid(id, 0));
    check(upload_session_id_valid(id, 1));
    check(upload_session_id_valid(id, UPLOAD_SESSION_ID_MAX));
    check(!upload_session_id_valid(id, UPLOAD_SESSION_ID_MAX + 1));

    for (c = 0; c < 256; c++) {
        good = c && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
                           "YZ0123456789_-", c) != NULL;

        id[0] = (unsigned char) c;
        check(upload_session_id_valid(id, 1) == good);
        check(upload_session_id_valid(id, 3) == good);

        id[0] = 'a';
        id[2] = (unsigned char) c;
        check(upload_session_id_valid(id, 3) == good);
        id[2] = 'a';
    }
}


static void
test_add(void)
{
    upload_ranges_t  ranges;

    upload_ranges_init(&ranges, 100);
    check(upload_ranges_prefix(&ranges) == 0);
    check(!upload_ranges_complete(&ranges));
    expect(&ranges, ',', "");
    expect(&ranges, '\n', "");

    check(upload_ranges_add(&ranges, 10, 19) == UPLOAD_RANGES_OK);
    check(upload_ranges_prefix(&ranges) == 0);
    check(upload_ranges_add(&ranges, 30, 39) == UPLOAD_RANGES_OK);
    check(upload_ranges_add(&ranges, 50, 59) == UPLOAD_RANGES_OK);
    expect(&ranges, ',', "10-19/100,30-39/100,50-59/100");
    expect(&ranges, '\n', "10-19/100\n30-39/100\n50-59/100\n");

    /* the same again, and within */
    check(upload_ranges_add(&ranges, 30, 39) == UPLOAD_RANGES_OK);
    check(upload_ranges_add(&ranges, 31, 38) == UPLOAD_RANGES_OK);
    expect(&ranges, ',', "10-19/100,30-39/100,50-59/100");

    /* adjacent on one side, on the other, and a byte from it */
    check(upload_ranges_add(&ranges, 20, 20) == UPLOAD_RANGES_OK);
    check(upload_ranges_add(&ranges, 29, 29) == UPLOAD_RANGES_OK);
    check(upload_ranges_add(&ranges, 41, 41) == UPLOAD_RANGES_OK);
    expect(&ranges, ',', "10-20/100,29-39/100,41-41/100,50-59/100");

    /* it fills a gap */
    check(upload_ranges_add(&ranges, 21, 28) == UPLOAD_RANGES_OK);
    expect(&ranges, ',', "10-39/100,41-41/100,50-59/100");

    /* it covers several */
    check(upload_ranges_add(&ranges, 5, 55) == UPLOAD_RANGES_OK);
    expect(&ranges, ',', "5-59/100");

    check(upload_ranges_add(&ranges, -1, 5) == UPLOAD_RANGES_MALFORMED);
    check(upload_ranges_add(&ranges, 3, 2) == UPLOAD_RANGES_MALFORMED);
    check(upload_ranges_add(&ranges, 3, 100) == UPLOAD_RANGES_MALFORMED);
    check(upload_ranges_add(&ranges, 100, 100) == UPLOAD_RANGES_MALFORMED);
    check(upload_ranges_add(&ranges, 3, MAX) == UPLOAD_RANGES_MALFORMED);
    expect(&ranges, ',', "5-59/100");

    check(upload_ranges_add(&ranges, 0, 4) == UPLOAD_RANGES_OK);
    check(upload_ranges_prefix(&ranges) == 60);
    check(!upload_ranges_complete(&ranges));
    check(upload_ranges_add(&ranges, 60, 99) == UPLOAD_RANGES_OK);
    check(upload_ranges_prefix(&ranges) == 100);
    check(upload_ranges_complete(&ranges));
    expect(&ranges, '\n', "0-99/100\n");

    upload_ranges_free(&ranges);
    upload_ranges_free(&ranges);
    check(ranges.n == 0 && ranges.total == 100);

    /* the largest numbers */

    upload_ranges_init(&ranges, MAX);
    check(upload_ranges_add(&ranges, MAX - 1, MAX - 1) == UPLOAD_RANGES_OK);
    check(upload_ranges_add(&ranges, MAX - 3, MAX - 3) == UPLOAD_RANGES_OK);
    check(upload_ranges_add(&ranges, MAX, MAX) == UPLOAD_RANGES_MALFORMED);
    expect(&ranges, ',',
           "9223372036854775804-9223372036854775804/9223372036854775807,"
           "9223372036854775806-9223372036854775806/9223372036854775807");
    expect(&ranges, '\n',
           "9223372036854775804-9223372036854775804/9223372036854775807\n"
           "9223372036854775806-9223372036854775806/9223372036854775807\n");
    check(upload_ranges_add(&ranges, 0, MAX - 2) == UPLOAD_RANGES_OK);
    check(upload_ranges_complete(&ranges));
    upload_ranges_free(&ranges);

    /* nothing fits into an empty file, and nothing lacks */

    upload_ranges_init(&ranges, 0);
    check(upload_ranges_add(&ranges, 0, 0) == UPLOAD_RANGES_MALFORMED);
    check(upload_ranges_complete(&ranges));
}


/* what a map of bytes says of the same ranges */

static void
expect_map(const upload_ranges_t *ranges, const char *map)
{
    int   i, first, prefix;
    char  text[TEXT_SIZE];

    text[0] = '\0';

    for (prefix = 0; prefix < TOTAL && map[prefix]; prefix++) { /* void */ }

    for (i = 0; i < TOTAL; i++) {

        if (!map[i]) {
            continue;
        }

        first = i;

        while (i < TOTAL && map[i]) {
            i++;
        }

        sprintf(text + strlen(text), "%d-%d/%d\n", first, i - 1, TOTAL);
    }

    expect(ranges, '\n', text);
    check(upload_ranges_prefix(ranges) == prefix);
    check(upload_ranges_complete(ranges) == (prefix == TOTAL));
}


static void
test_model(void)
{
    int              round, i, n, first, last, width;
    char             map[TOTAL], text[TEXT_SIZE];
    upload_ranges_t  ranges, parsed;

    for (round = 0; round < 500; round++) {
        upload_ranges_init(&ranges, TOTAL);
        memset(map, 0, TOTAL);
        text[0] = '\0';

        n = 1 + rand() % 100;
        width = 1 + rand() % (round % 2 ? 5 : 50);

        for (i = 0; i < n; i++) {
            first = rand() % TOTAL;
            last = first + rand() % width;
            last = last < TOTAL ? last : TOTAL - 1;

            memset(map + first, 1, last - first + 1);
            sprintf(text + strlen(text), "%d-%d/%d\n", first, last, TOTAL);

            check(upload_ranges_add(&ranges, first, last)
                  == UPLOAD_RANGES_OK);
            expect_map(&ranges, map);
        }

        /* the same, unsorted and overlapping, out of a text */

        upload_ranges_init(&parsed, TOTAL);
        check(upload_ranges_parse(&parsed, text, strlen(text))
              == UPLOAD_RANGES_OK);
        expect_map(&parsed, map);

        upload_ranges_free(&parsed);
        upload_ranges_free(&ranges);
    }
}


static upload_ranges_e
parse(const char *text)
{
    char             *exact;
    size_t            len;
    upload_ranges_e   rc;
    upload_ranges_t   ranges;

    len = strlen(text);
    exact = malloc(len ? len : 1);
    memcpy(exact, text, len);

    upload_ranges_init(&ranges, 10);
    rc = upload_ranges_parse(&ranges, exact, len);
    check_order(&ranges);

    upload_ranges_free(&ranges);
    free(exact);

    return rc;
}


static void
test_parse(void)
{
    size_t              i;
    static const char  *malformed[] = {
        "\n", "0", "0-", "0-0", "0-0/", "0-0/10", "-\n", "0-0\n", "0-0/\n",
        "0-0/10\n\n", "\n0-0/10\n", "0-0/10\r\n", " 0-0/10\n", "0-0/10 \n",
        "0-0/10,1-1/10\n", "0-0/10\n2", "0-0/10\n2-2/10", "0-10/10\n",
        "1-0/10\n", "10-10/10\n", "0-0/*\n", "*/10\n", "-1-0/10\n",
        "0-0/10\n0-x/10\n", "bytes 0-0/10\n", "0-0/9223372036854775808\n",
        "0-18446744073709551616/10\n", "18446744073709551616-1/10\n",
        "5-5/5\n"
    };

    check(parse("") == UPLOAD_RANGES_OK);
    check(parse("0-0/10\n") == UPLOAD_RANGES_OK);
    check(parse("0-9/10\n0-9/10\n") == UPLOAD_RANGES_OK);
    check(parse("8-9/10\n5-5/10\n0-6/10\n") == UPLOAD_RANGES_OK);
    check(parse("0-0/11\n") == UPLOAD_RANGES_TOTAL);
    check(parse("0-0/9\n") == UPLOAD_RANGES_TOTAL);
    check(parse("0-0/10\n1-1/1000\n") == UPLOAD_RANGES_TOTAL);

    for (i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        check(parse(malformed[i]) == UPLOAD_RANGES_MALFORMED);
    }
}


static void
test_sizes(char separator)
{
    char             text[200], *out;
    size_t           len, size, n, whole, i;
    upload_ranges_t  ranges;

    upload_ranges_init(&ranges, 1000);
    (void) upload_ranges_add(&ranges, 0, 0);
    (void) upload_ranges_add(&ranges, 10, 19);
    (void) upload_ranges_add(&ranges, 100, 199);
    (void) upload_ranges_add(&ranges, 998, 999);

    len = upload_ranges_length(&ranges, separator);
    check(upload_ranges_format(&ranges, separator, text, sizeof(text))
          == len);

    for (size = 0; size <= len; size++) {
        out = malloc(size + 1);
        out[size] = 'x';
        n = upload_ranges_format(&ranges, separator, out, size);

        /* the longest text of whole entries that fits */

        whole = 0;

        for (i = 1; i <= size; i++) {

            if (separator == '\n' ? text[i - 1] == '\n'
                                  : i == len || text[i] == separator)
            {
                whole = i;
            }
        }

        check(n == whole);
        check(memcmp(out, text, n) == 0);
        check(out[size] == 'x');
        free(out);
    }

    upload_ranges_free(&ranges);
}


/* in order, in reverse, and mixed: 10,000 that stay apart, then become one */

static void
test_many(int step)
{
    int              i, k, n;
    char            *text;
    size_t           len;
    upload_ranges_t  ranges, parsed;

    n = 10000;
    upload_ranges_init(&ranges, 10 * n);

    for (i = 0; i < n; i++) {
        k = (int) ((long long) i * step % n);
        check(upload_ranges_add(&ranges, 10 * k, 10 * k + 4)
              == UPLOAD_RANGES_OK);
    }

    check(ranges.n == (size_t) n);
    check_order(&ranges);

    len = upload_ranges_length(&ranges, '\n');
    text = malloc(len);
    check(upload_ranges_format(&ranges, '\n', text, len) == len);

    upload_ranges_init(&parsed, 10 * n);
    check(upload_ranges_parse(&parsed, text, len) == UPLOAD_RANGES_OK);
    check(parsed.n == ranges.n);
    check(memcmp(parsed.elts, ranges.elts, n * sizeof(upload_range_t)) == 0);
    upload_ranges_free(&parsed);
    free(text);

    for (i = 0; i < n; i++) {
        check(!upload_ranges_complete(&ranges));
        k = (int) ((long long) i * step % n);
        check(upload_ranges_add(&ranges, 10 * k + 5, 10 * k + 9)
              == UPLOAD_RANGES_OK);
    }

    check(upload_ranges_complete(&ranges));
    check(ranges.n == 1);
    upload_ranges_free(&ranges);
}


int
main(void)
{
    srand(1);

    test_offset();
    test_content_range();
    test_session_id();
    test_add();
    test_model();
    test_parse();
    test_sizes(',');
    test_sizes('\n');

    /* steps that have no factor in common with 10,000 */
    test_many(1);
    test_many(9999);
    test_many(3333);

    printf("ok\n");

    return 0;
}
