
/*
 * The headers of a part and the boundary of a request.
 */


#include "unit.h"
#include "upload_part_header.h"


static int
same(upload_str_t *s, const char *text)
{
    return s->len == strlen(text)
           && (s->len == 0 || memcmp(s->data, text, s->len) == 0);
}


/* parses copies that end where the text ends, so that ASan sees overreads */

static const char *
header(upload_part_t *part, const char *line)
{
    size_t                 len;
    char                  *copy;
    const char            *reason;
    static unsigned char   disposition[1000], type[1000];

    len = strlen(line);
    copy = malloc(len ? len : 1);
    memcpy(copy, line, len);

    reason = upload_part_header(part, (unsigned char *) copy, len,
                                disposition, type);
    free(copy);

    return reason;
}


static void
names(const char *disposition, const char *name, const char *file_name)
{
    char           line[1000];
    upload_part_t  part;

    memset(&part, 0, sizeof(part));
    snprintf(line, sizeof(line), "Content-Disposition: %s", disposition);

    check(header(&part, line) == NULL);

    if (!same(&part.name, name) || !same(&part.file_name, file_name)) {
        fprintf(stderr, "%s: name \"%.*s\", file name \"%.*s\"\n",
                disposition, (int) part.name.len, part.name.data,
                (int) part.file_name.len, part.file_name.data);
        exit(1);
    }
}


static void
wrong(const char *line)
{
    upload_part_t  part;

    memset(&part, 0, sizeof(part));

    if (header(&part, line) == NULL) {
        fprintf(stderr, "accepted: %s\n", line);
        exit(1);
    }
}


static upload_boundary_e
boundary(const char *type, upload_str_t *b)
{
    return upload_part_boundary((const unsigned char *) type, strlen(type), b);
}


static void
test_boundary(void)
{
    char          type[400];
    upload_str_t  b;

    check(boundary("multipart/form-data; boundary=abc", &b) == 0);
    check(same(&b, "abc"));
    check(boundary("MULTIPART/FORM-DATA;BOUNDARY=\"a ;b\"", &b) == 0);
    check(same(&b, "a ;b"));
    check(boundary("multipart/form-data; a=\"b;boundary=x\"; boundary = y z",
                   &b) == 0);
    check(boundary("multipart/form-data; boundary=\"abc", &b) == 0);
    check(same(&b, "abc"));

    check(boundary("multipart/form-data", &b) == UPLOAD_BOUNDARY_MISSING);
    check(boundary("multipart/form-data;", &b) == UPLOAD_BOUNDARY_MISSING);
    check(boundary("multipart/form-data; boundary", &b)
          == UPLOAD_BOUNDARY_MISSING);
    check(boundary("multipart/form-data; boundary=", &b)
          == UPLOAD_BOUNDARY_MISSING);
    check(boundary("multipart/form-data; boundary=\"\"", &b)
          == UPLOAD_BOUNDARY_MISSING);
    check(boundary("multipart/form-data; xboundary=a", &b)
          == UPLOAD_BOUNDARY_MISSING);
    check(boundary("", &b) == UPLOAD_BOUNDARY_NOT_MULTIPART);
    check(boundary("multipart/mixed; boundary=a", &b)
          == UPLOAD_BOUNDARY_NOT_MULTIPART);

    memset(type, 'x', sizeof(type));
    memcpy(type, "multipart/form-data; boundary=", 30);
    check(upload_part_boundary((unsigned char *) type, 30 + 256, &b) == 0);
    check(b.len == 256);
    check(upload_part_boundary((unsigned char *) type, 30 + 257, &b)
          == UPLOAD_BOUNDARY_TOO_LONG);
}


int
main(void)
{
    upload_part_t  part;

    test_boundary();

    names("form-data", "", "");
    names("form-data; name=\"n\"", "n", "");
    names("form-data; name=\"n\"; filename=\"f\"", "n", "f");
    names("attachment;filename=f;name=n", "n", "f");
    names("form-data; name=n; filename=my file.txt ; x=y", "n", "my file.txt");
    names("form-data; NAME = \"n\" ; FileName =\"f\"", "n", "f");
    names("form-data; name; name=n;;; =x; filename", "n", "");
    names("form-data; name=\"a;b=c\"", "a;b=c", "");
    names("form-data; name=\"a\\\"b\\\"\"", "a\"b\"", "");
    names("form-data; name=\"a%22b%20\"", "a\"b%20", "");
    names("form-data; name=\"a\\b\\\\c\"", "a\\b\\\\c", "");
    names("form-data; name=\"unclosed", "unclosed", "");
    names("form-data; name=\"", "", "");
    names("form-data; name=\"a\"x\"b\"; filename=f", "a", "f");

    names("form-data; filename=\"C:\\dir\\f.txt\"", "", "f.txt");
    names("form-data; filename=\"/a/b\\c/f.txt\"", "", "f.txt");
    names("form-data; filename=\"/f\"", "", "f");
    names("form-data; filename=\"dir/\"", "", "");
    names("form-data; filename=\"C:\\dir\\\"", "", "");
    names("form-data; filename=\"..\"", "", "..");

    names("form-data; filename*=UTF-8''%e2%82%ac%20x", "", "\xe2\x82\xac x");
    names("form-data; filename*=\"utf-8'en'a%2fb\"", "", "b");
    names("form-data; filename*=utf-8''; filename=f", "", "");
    names("form-data; filename*=utf-8''%zz; filename=f", "", "f");
    names("form-data; filename*=utf-8''%4; filename=f", "", "f");
    names("form-data; filename*=latin1''x; filename=f", "", "f");
    names("form-data; filename=f; filename*=utf-8", "", "f");
    names("form-data; filename=f; filename*=utf-8'x", "", "f");

    wrong("Content-Disposition: inline");
    wrong("Content-Disposition:");
    wrong("Content-Disposition: form-datax; name=n");
    wrong("Content-Disposition: form-data; name=a; name=b");
    wrong("Content-Disposition: form-data; filename=a; filename=b");
    wrong("Content-Disposition: form-data; name=\"a\tb\"");
    wrong("Content-Disposition: form-data; filename=\"a\177\"");
    wrong("Content-Disposition: form-data; filename*=utf-8''a%0d");
    wrong("Content-Type:");
    wrong("Content-Type: a\001b");

    memset(&part, 0, sizeof(part));
    check(header(&part, "") == NULL);
    check(header(&part, "no colon") == NULL);
    check(header(&part, "X-Other: Content-Disposition: inline") == NULL);
    check(header(&part, "Content-Type : text/plain;\tcharset=x ") == NULL);
    check(same(&part.content_type, "text/plain;\tcharset=x"));
    check(header(&part, "Content-Disposition: form-data; name=n") == NULL);
    check(header(&part, "Content-Disposition: form-data; name=n") != NULL);

    printf("ok\n");

    return 0;
}
