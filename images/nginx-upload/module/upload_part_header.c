
/*
 * The header lines of a part and the boundary parameter of a request,
 * see upload_part_header.h.
 */


#include <string.h>
#include <strings.h>

#include "upload_part_header.h"


/* a cursor over the parameters of a header value */

typedef struct {
    const unsigned char   *pos;
    const unsigned char   *last;
    upload_str_t           key;
    upload_str_t           value;   /* decoded, in the caller's buffer */
    unsigned char         *out;
} upload_params_t;


static const char *upload_part_disposition(upload_part_t *part,
    upload_str_t *value, unsigned char *out);
static int upload_params_next(upload_params_t *params);
static void upload_params_quoted(upload_params_t *params);
static int upload_part_extended(upload_str_t *value);
static void upload_part_base_name(upload_str_t *name);
static void upload_part_trim(upload_str_t *s);
static int upload_part_token(const upload_str_t *s, const char *token);
static int upload_part_control(const upload_str_t *s, int tab);
static int upload_part_hex(unsigned char c);


#define upload_blank(c)  ((c) == ' ' || (c) == '\t')


upload_boundary_e
upload_part_boundary(const unsigned char *content_type, size_t len,
    upload_str_t *boundary)
{
    upload_str_t          type;
    const unsigned char  *p, *q, *last;

    last = content_type + len;

    p = memchr(content_type, ';', len);

    type.data = content_type;
    type.len = (p ? p : last) - content_type;
    upload_part_trim(&type);

    if (!upload_part_token(&type, "multipart/form-data")) {
        return UPLOAD_BOUNDARY_NOT_MULTIPART;
    }

    while (p && p < last) {

        for (p++; p < last && upload_blank(*p); p++) { /* void */ }

        for (q = p; q < last && *q != '=' && *q != ';'; q++) { /* void */ }

        if (q == last || *q == ';') {
            p = q;
            continue;
        }

        type.data = p;
        type.len = q - p;
        upload_part_trim(&type);

        for (p = q + 1; p < last && upload_blank(*p); p++) { /* void */ }

        if (p < last && *p == '"') {
            boundary->data = ++p;
            for (q = p; q < last && *q != '"'; q++) { /* void */ }
            boundary->len = q - p;

            for (p = q; p < last && *p != ';'; p++) { /* void */ }

        } else {
            boundary->data = p;
            for (q = p; q < last && *q != ';' && !upload_blank(*q); q++) {
                /* void */
            }
            boundary->len = q - p;

            for (p = q; p < last && *p != ';'; p++) { /* void */ }
        }

        if (!upload_part_token(&type, "boundary")) {
            continue;
        }

        if (boundary->len == 0) {
            return UPLOAD_BOUNDARY_MISSING;
        }

        if (boundary->len > UPLOAD_MULTIPART_BOUNDARY_MAX) {
            return UPLOAD_BOUNDARY_TOO_LONG;
        }

        return UPLOAD_BOUNDARY_OK;
    }

    return UPLOAD_BOUNDARY_MISSING;
}


const char *
upload_part_header(upload_part_t *part, const unsigned char *line, size_t len,
    unsigned char *disposition, unsigned char *content_type)
{
    upload_str_t          key, value;
    const unsigned char  *colon;

    colon = memchr(line, ':', len);
    if (colon == NULL) {
        return NULL;
    }

    key.data = line;
    key.len = colon - line;
    upload_part_trim(&key);

    value.data = colon + 1;
    value.len = line + len - value.data;
    upload_part_trim(&value);

    if (upload_part_token(&key, "content-disposition")) {

        if (part->disposition) {
            return "a part has two Content-Disposition headers";
        }

        part->disposition = 1;

        return upload_part_disposition(part, &value, disposition);
    }

    if (upload_part_token(&key, "content-type")) {

        if (value.len == 0) {
            return "a part has an empty Content-Type header";
        }

        if (upload_part_control(&value, 1)) {
            return "a part has control characters in its Content-Type header";
        }

        memcpy(content_type, value.data, value.len);
        part->content_type.data = content_type;
        part->content_type.len = value.len;
    }

    return NULL;
}


static const char *
upload_part_disposition(upload_part_t *part, upload_str_t *value,
    unsigned char *out)
{
    int                   name, file_name, extended;
    upload_str_t          type;
    upload_params_t       params;
    const unsigned char  *p;

    p = memchr(value->data, ';', value->len);

    type.data = value->data;
    type.len = p ? (size_t) (p - value->data) : value->len;
    upload_part_trim(&type);

    if (!upload_part_token(&type, "form-data")
        && !upload_part_token(&type, "attachment"))
    {
        return "the Content-Disposition header of a part is neither form-data"
               " nor attachment";
    }

    params.pos = type.data + type.len;
    params.last = value->data + value->len;
    params.out = out;

    name = 0;
    file_name = 0;
    extended = 0;

    while (upload_params_next(&params)) {

        if (upload_part_token(&params.key, "name")) {

            if (name++) {
                return "a part has two names";
            }

            part->name = params.value;

        } else if (upload_part_token(&params.key, "filename")) {

            if (file_name++) {
                return "a part has two file names";
            }

            if (!extended) {
                part->file_name = params.value;
            }

        } else if (upload_part_token(&params.key, "filename*")) {

            /* RFC 6266: preferred to filename when it can be decoded */

            if (!extended && upload_part_extended(&params.value)) {
                part->file_name = params.value;
                extended = 1;
            }
        }
    }

    if (upload_part_control(&part->name, 0)) {
        return "the name of a part has control characters";
    }

    if (upload_part_control(&part->file_name, 0)) {
        return "the file name of a part has control characters";
    }

    upload_part_base_name(&part->file_name);

    return NULL;
}


static int
upload_params_next(upload_params_t *params)
{
    const unsigned char  *p, *last;

    p = params->pos;
    last = params->last;

    for ( ;; ) {

        /* to the beginning of the next parameter */

        while (p < last && *p != ';') {
            p++;
        }

        while (p < last && (*p == ';' || upload_blank(*p))) {
            p++;
        }

        if (p == last) {
            return 0;
        }

        params->key.data = p;

        while (p < last && *p != '=' && *p != ';') {
            p++;
        }

        if (p == last) {
            return 0;
        }

        if (*p == '=') {
            break;
        }
    }

    params->key.len = p - params->key.data;
    upload_part_trim(&params->key);

    for (p++; p < last && upload_blank(*p); p++) { /* void */ }

    params->pos = p;

    if (p < last && *p == '"') {
        upload_params_quoted(params);
        return 1;
    }

    while (p < last && *p != ';') {
        p++;
    }

    params->value.data = params->pos;
    params->value.len = p - params->pos;
    upload_part_trim(&params->value);

    memcpy(params->out, params->value.data, params->value.len);
    params->value.data = params->out;
    params->out += params->value.len;
    params->pos = p;

    return 1;
}


/*
 * Browsers write a quote as %22 or \", and a backslash as itself: it is the
 * separator of a Windows path then.  A path may even end with one, so the
 * last quote of the line closes the string in any case.
 */

static void
upload_params_quoted(upload_params_t *params)
{
    unsigned char        *out;
    const unsigned char  *p, *last;

    last = params->last;
    out = params->out;

    for (p = params->pos + 1; p < last && *p != '"'; p++) {

        if (last - p > 2 && p[0] == '%' && p[1] == '2' && p[2] == '2') {
            *out++ = '"';
            p += 2;
            continue;
        }

        if (last - p > 2 && p[0] == '\\' && p[1] == '"'
            && memchr(p + 2, '"', last - p - 2))
        {
            p++;
        }

        *out++ = *p;
    }

    params->value.data = params->out;
    params->value.len = out - params->out;
    params->out = out;
    params->pos = p < last ? p + 1 : last;
}


/* RFC 8187: charset'language'percent-encoded, decoded in place */

static int
upload_part_extended(upload_str_t *value)
{
    int                   high, low;
    upload_str_t          charset;
    unsigned char        *out;
    const unsigned char  *p, *last;

    last = value->data + value->len;

    p = memchr(value->data, '\'', value->len);
    if (p == NULL) {
        return 0;
    }

    charset.data = value->data;
    charset.len = p - value->data;

    if (!upload_part_token(&charset, "utf-8")) {
        return 0;
    }

    p = memchr(p + 1, '\'', last - p - 1);
    if (p == NULL) {
        return 0;
    }

    /* the value was copied to a buffer of ours */
    out = (unsigned char *) value->data;

    for (p++; p < last; p++) {

        if (*p != '%') {
            *out++ = *p;
            continue;
        }

        if (last - p < 3) {
            return 0;
        }

        high = upload_part_hex(p[1]);
        low = upload_part_hex(p[2]);

        if (high < 0 || low < 0) {
            return 0;
        }

        *out++ = (unsigned char) (high * 16 + low);
        p += 2;
    }

    value->len = out - value->data;

    return 1;
}


static void
upload_part_base_name(upload_str_t *name)
{
    size_t  i;

    for (i = name->len; i > 0; i--) {

        if (name->data[i - 1] == '/' || name->data[i - 1] == '\\') {
            name->data += i;
            name->len -= i;
            return;
        }
    }
}


static void
upload_part_trim(upload_str_t *s)
{
    while (s->len && upload_blank(s->data[0])) {
        s->data++;
        s->len--;
    }

    while (s->len && upload_blank(s->data[s->len - 1])) {
        s->len--;
    }
}


static int
upload_part_token(const upload_str_t *s, const char *token)
{
    return s->len == strlen(token)
           && strncasecmp((const char *) s->data, token, s->len) == 0;
}


static int
upload_part_control(const upload_str_t *s, int tab)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {

        if ((s->data[i] < 0x20 && !(tab && s->data[i] == '\t'))
            || s->data[i] == 0x7f)
        {
            return 1;
        }
    }

    return 0;
}


static int
upload_part_hex(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}
