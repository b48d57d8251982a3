
/*
 * The form shape: what the multipart parser finds becomes files and form
 * fields.
 */


#include "ngx_http_upload.h"


static ngx_int_t ngx_http_upload_part_begin(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_field_begin(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_uint_t ngx_http_upload_wanted(ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_part_data(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_part_end(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);


ngx_int_t
ngx_http_upload_parts_init(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    size_t         max;
    u_char        *memory;
    upload_str_t   boundary;

    max = ctx->conf->max_part_header_len;

    ctx->parser = ngx_palloc(r->pool, sizeof(upload_multipart_t));
    memory = ngx_palloc(r->pool, upload_multipart_memory(max));

    if (ctx->parser == NULL || memory == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    boundary.len = ctx->boundary.len;
    boundary.data = ctx->boundary.data;

    upload_multipart_init(ctx->parser, &boundary, memory, max);

    return NGX_OK;
}


ngx_int_t
ngx_http_upload_parse(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_buf_t *b)
{
    ngx_int_t                  rc;
    const u_char              *pos;
    upload_multipart_event_e   event;

    for ( ;; ) {

        if (ctx->undelivered) {
            ctx->undelivered = 0;
            event = UPLOAD_MULTIPART_DATA;

        } else {
            pos = b->pos;
            event = upload_multipart_next(ctx->parser, &pos, b->last);
            b->pos = (u_char *) pos;
        }

        rc = NGX_OK;

        switch (event) {

        case UPLOAD_MULTIPART_MORE:
            return NGX_OK;

        case UPLOAD_MULTIPART_PART:
            rc = ngx_http_upload_part_begin(r, ctx);
            break;

        case UPLOAD_MULTIPART_DATA:
            rc = ngx_http_upload_part_data(r, ctx);

            if (rc == NGX_AGAIN) {
                ctx->undelivered = 1;
            }

            break;

        case UPLOAD_MULTIPART_PART_END:
            rc = ngx_http_upload_part_end(r, ctx);
            break;

        case UPLOAD_MULTIPART_END:
            break;

        case UPLOAD_MULTIPART_MALFORMED:
            return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST, "%s",
                                          ctx->parser->reason);

        case UPLOAD_MULTIPART_HEADER_LIMIT:
            return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST,
                                          "part header is longer than %uz "
                                          "bytes (upload_max_part_header_len)",
                                          ctx->conf->max_part_header_len);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


static ngx_int_t
ngx_http_upload_part_begin(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    upload_part_t  *part;

    part = &ctx->parser->part;

    if (ctx->conf->max_parts && ctx->parts == (ngx_uint_t) ctx->conf->max_parts)
    {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                      "the form has more than %i parts "
                                      "(upload_max_parts)",
                                      ctx->conf->max_parts);
    }

    ctx->parts++;
    ctx->mark = upload_form_mark(&ctx->form);

    if (part->file_name.len == 0) {
        return ngx_http_upload_field_begin(r, ctx);
    }

    ctx->part = ngx_http_upload_part_file;

    return ngx_http_upload_file_begin(r, ctx, part);
}


static ngx_int_t
ngx_http_upload_field_begin(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    upload_part_t  *part;

    part = &ctx->parser->part;

    ctx->part = ngx_http_upload_part_skip;

    if (!ngx_http_upload_wanted(ctx)) {
        return NGX_OK;
    }

    if (ctx->conf->max_fields
        && ctx->fields == (ngx_uint_t) ctx->conf->max_fields)
    {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                      "the form has more than %i fields "
                                      "(upload_max_fields)",
                                      ctx->conf->max_fields);
    }

    ctx->fields++;

    switch (upload_form_begin(&ctx->form, part->name.data, part->name.len)) {

    case UPLOAD_FORM_OK:
        ctx->part = ngx_http_upload_part_field;
        break;

    case UPLOAD_FORM_NO_MEMORY:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    case UPLOAD_FORM_TOO_LARGE:
        /* a field without room in the form is dropped */
        break;
    }

    return NGX_OK;
}


/* whether upload_pass_form_field names a plain field */

static ngx_uint_t
ngx_http_upload_wanted(ngx_http_upload_ctx_t *ctx)
{
#if (NGX_PCRE)

    ngx_str_t  name;

    name.len = ctx->parser->part.name.len;
    name.data = (u_char *) ctx->parser->part.name.data;

    if (name.len == 0 || ctx->conf->pass_fields == NULL) {
        return 0;
    }

    return ngx_regex_exec_array(ctx->conf->pass_fields, &name, ctx->log)
           == NGX_OK;

#else

    return 0;

#endif
}


static ngx_int_t
ngx_http_upload_part_data(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t      rc;
    upload_str_t  *data;

    data = &ctx->parser->data;

    switch (ctx->part) {

    case ngx_http_upload_part_file:
        rc = ngx_http_upload_file_size(r, ctx, ctx->queued + data->len);

        if (rc == NGX_OK && ctx->part == ngx_http_upload_part_file) {
            rc = ngx_http_upload_data(r, ctx, data->data, data->len,
                                      ctx->parser->held);
        }

        return rc;

    case ngx_http_upload_part_field:

        switch (upload_form_append(&ctx->form, data->data, data->len)) {

        case UPLOAD_FORM_OK:
            break;

        case UPLOAD_FORM_NO_MEMORY:
            return NGX_HTTP_INTERNAL_SERVER_ERROR;

        case UPLOAD_FORM_TOO_LARGE:
            upload_form_rollback(&ctx->form, ctx->mark);
            ctx->part = ngx_http_upload_part_skip;
            break;
        }

        break;

    case ngx_http_upload_part_skip:
        break;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_part_end(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_http_upload_part_e  part;

    part = ctx->part;
    ctx->part = ngx_http_upload_part_skip;

    return (part == ngx_http_upload_part_file)
           ? ngx_http_upload_file_end(r, ctx) : NGX_OK;
}


/* the body is over, and all of its files are complete */

ngx_int_t
ngx_http_upload_parts_end(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    const char  *missing;

    missing = upload_multipart_finish(ctx->parser);

    if (missing) {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST, "%s",
                                      missing);
    }

    return ngx_http_upload_pass(r, ctx);
}
