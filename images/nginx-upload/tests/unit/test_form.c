
/*
 * The generated form: its bytes, its length, its limit, and taking back.
 */


#include "unit.h"
#include "upload_form.h"


static void
add(upload_form_t *form, const char *name, const char *value)
{
    check(upload_form_begin(form, name, strlen(name)) == UPLOAD_FORM_OK);
    check(upload_form_append(form, value, strlen(value)) == UPLOAD_FORM_OK);
}


static void
expect(upload_form_t *form, const char *boundary, const char *text)
{
    size_t          len, size;
    unsigned char  *out;

    len = strlen(boundary);
    size = upload_form_size(form, len);

    check(size == strlen(text));

    out = malloc(size);
    upload_form_write(form, boundary, len, out);
    check(memcmp(out, text, size) == 0);
    free(out);
}


#define FIELD(name, value)                                                    \
    "--bb\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value


int
main(void)
{
    size_t              i, size;
    upload_form_t       form;
    upload_form_mark_t  mark;

    upload_form_init(&form, 2, 0);
    expect(&form, "bb", "\r\n--bb--\r\n");

    add(&form, "a", "1");
    expect(&form, "bb", FIELD("a", "1") "\r\n--bb--\r\n");

    mark = upload_form_mark(&form);
    add(&form, "b\"\\", "");
    check(upload_form_append(&form, "x", 1) == UPLOAD_FORM_OK);
    check(upload_form_append(&form, "yz", 2) == UPLOAD_FORM_OK);
    expect(&form, "bb", FIELD("a", "1") "\r\n" FIELD("b\\\"\\\\", "xyz")
           "\r\n--bb--\r\n");
    check(upload_form_contains(&form, "xyz", 3));
    check(!upload_form_contains(&form, "zx", 2));

    upload_form_rollback(&form, mark);
    expect(&form, "bb", FIELD("a", "1") "\r\n--bb--\r\n");
    check(!upload_form_contains(&form, "xyz", 3));

    /* it grows */
    for (i = 0; i < 10000; i++) {
        add(&form, "name", "value");
    }

    check(form.fields == 10001);
    upload_form_free(&form);
    upload_form_free(&form);

    /* the limit is that of the bytes written out, each counted once */
    size = sizeof(FIELD("a", "1234") "\r\n--bb--\r\n") - 1;

    upload_form_init(&form, 2, size);
    check(upload_form_begin(&form, "a", 1) == UPLOAD_FORM_OK);
    check(upload_form_append(&form, "1234", 4) == UPLOAD_FORM_OK);
    check(upload_form_append(&form, "5", 1) == UPLOAD_FORM_TOO_LARGE);
    check(upload_form_begin(&form, "", 0) == UPLOAD_FORM_TOO_LARGE);
    check(form.fields == 1);
    expect(&form, "bb", FIELD("a", "1234") "\r\n--bb--\r\n");
    upload_form_free(&form);

    printf("ok\n");

    return 0;
}
