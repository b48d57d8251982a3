
/*
 * The append shape: the body goes as it is to the path and the offset that
 * authorize named, and what arrived is kept when the request breaks off.
 */


#include "ngx_http_upload.h"


static ngx_int_t ngx_http_upload_append_number(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_str_t *name, off_t *number);
static ngx_int_t ngx_http_upload_append_checksum(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, upload_append_t *append);
static ngx_int_t ngx_http_upload_append_takeover(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, upload_append_t *append);
static ngx_uint_t ngx_http_upload_append_inside(ngx_str_t *path,
    ngx_str_t *directory);
static int ngx_http_upload_append_open_step(void *data);
static ngx_int_t ngx_http_upload_append_opened(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static int ngx_http_upload_append_keep_step(void *data);
static int ngx_http_upload_append_finish_step(void *data);
static ngx_int_t ngx_http_upload_append_done(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);


static ngx_str_t  ngx_http_upload_offset = ngx_string("X-Upload-Offset");
static ngx_str_t  ngx_http_upload_length = ngx_string("X-Upload-Length");
static ngx_str_t  ngx_http_upload_checksum = ngx_string("X-Upload-Checksum");
static ngx_str_t  ngx_http_upload_takeover = ngx_string("X-Upload-Takeover");


/*
 * X-Upload-Path is an absolute path below the directory of upload_store.
 * X-Upload-Offset is 0 when it is absent; without X-Upload-Length the file may
 * become any size that X-Upload-Max-Size and upload_max_file_size allow.
 */

ngx_int_t
ngx_http_upload_append_grant(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_str_t *path)
{
    u_char           *p;
    off_t             size;
    ngx_int_t         rc;
    ngx_path_t        store;
    upload_append_t  *append;

    rc = ngx_http_upload_store_path(r, ctx, ctx->conf->store, &store);
    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_http_upload_append_inside(path, &store.name)) {
        ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                      "\"upload_authorize\" answered with "
                      "\"X-Upload-Path: %V\", which is not below "
                      "\"upload_store %V\"", path, &store.name);
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_GATEWAY,
                                      "the answer of upload_authorize has an "
                                      "X-Upload-Path outside of upload_store");
    }

    append = ngx_palloc(r->pool, sizeof(upload_append_t));
    p = ngx_pnalloc(r->pool, 2 * (path->len + 1)
                             + sizeof(UPLOAD_APPEND_SUFFIX));

    if (append == NULL || p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    upload_append_init(append, &ctx->sink);

    append->path = (char *) p;
    append->mode = ctx->conf->store_access;

    p = ngx_sprintf(p, "%V%Z", path);
    append->checkpoint_path = (char *) p;
    (void) ngx_sprintf(p, "%V%s%Z", path, UPLOAD_APPEND_SUFFIX);

    rc = ngx_http_upload_append_number(r, ctx, &ngx_http_upload_offset,
                                       &append->offset);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_upload_append_number(r, ctx, &ngx_http_upload_length,
                                       &append->length);
    if (rc != NGX_OK) {
        return rc;
    }

    if (append->length >= 0
        && (ctx->granted_size < 0 || append->length < ctx->granted_size))
    {
        ctx->granted_size = append->length;
    }

    rc = ngx_http_upload_append_checksum(r, ctx, append);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_upload_append_takeover(r, ctx, append);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx->append = append;

    /* a length that is known is refused before the body is sent */

    size = append->offset;

    if (r->headers_in.content_length_n > NGX_MAX_OFF_T_VALUE - size) {
        size = NGX_MAX_OFF_T_VALUE;

    } else if (r->headers_in.content_length_n > 0) {
        size += r->headers_in.content_length_n;
    }

    return ngx_http_upload_file_size(r, ctx, size);
}


static ngx_int_t
ngx_http_upload_append_number(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_str_t *name, off_t *number)
{
    ngx_str_t  *value;

    value = ngx_http_upload_answer(ctx, name);

    if (value == NULL) {
        return NGX_OK;
    }

    *number = ngx_atoof(value->data, value->len);

    return (*number != NGX_ERROR)
           ? NGX_OK : ngx_http_upload_bad_answer(r, ctx, name, value);
}


static ngx_int_t
ngx_http_upload_append_checksum(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, upload_append_t *append)
{
    ngx_str_t  *value;

    value = ngx_http_upload_answer(ctx, &ngx_http_upload_checksum);

    if (value == NULL) {
        return NGX_OK;
    }

    append->checksum = ngx_palloc(r->pool, sizeof(upload_checksum_t));
    if (append->checksum == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (upload_checksum_parse(append->checksum, (char *) value->data,
                              value->len)
        != 0)
    {
        return ngx_http_upload_bad_answer(r, ctx, &ngx_http_upload_checksum,
                                          value);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_append_takeover(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, upload_append_t *append)
{
    ngx_str_t  *value;

    value = ngx_http_upload_answer(ctx, &ngx_http_upload_takeover);

    if (value
        && upload_takeover_parse(&append->takeover, (char *) value->data,
                                 value->len)
           != 0)
    {
        return ngx_http_upload_bad_answer(r, ctx, &ngx_http_upload_takeover,
                                          value);
    }

    return ngx_http_upload_takeover_init(r, ctx);
}


static ngx_uint_t
ngx_http_upload_append_inside(ngx_str_t *path, ngx_str_t *directory)
{
    if (path->len < directory->len + 2
        || ngx_strncmp(path->data, directory->data, directory->len) != 0
        || path->data[directory->len] != '/'
        || path->data[path->len - 1] == '/')
    {
        return 0;
    }

    return ngx_strlchr(path->data, path->data + path->len, '\0') == NULL
           && ngx_strnstr(path->data, "/../", path->len) == NULL
           && (path->len < 3
               || ngx_strncmp(path->data + path->len - 3, "/..", 3) != 0);
}


ngx_int_t
ngx_http_upload_append_open(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    upload_part_t            part;
    ngx_http_upload_file_t  *file;

    ngx_memzero(&part, sizeof(upload_part_t));

    if (r->headers_in.content_type) {
        part.content_type.data = r->headers_in.content_type->value.data;
        part.content_type.len = r->headers_in.content_type->value.len;
    }

    file = ngx_http_upload_file_new(r, ctx, &part);
    if (file == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    file->path.data = (u_char *) ctx->append->path;
    file->path.len = ngx_strlen(ctx->append->path);
    file->offset = ctx->append->offset;

    upload_sink_init(&ctx->sink, ctx->conf->digests, ctx->conf->fsync);

    if (!ctx->conf->preallocate) {
        ctx->append->length = -1;
    }

    return ngx_http_upload_append_try(r, ctx);
}


ngx_int_t
ngx_http_upload_append_try(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    return ngx_http_upload_step(r, ctx, ngx_http_upload_append_open_step,
                                ctx->append, ngx_http_upload_append_opened);
}


static int
ngx_http_upload_append_open_step(void *data)
{
    int  err;

    err = upload_append_open(data);

    return (err == UPLOAD_APPEND_ASKED) ? 0 : err;
}


static ngx_int_t
ngx_http_upload_append_opened(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ctx->append->locked) {
        return ngx_http_upload_takeover_wait(r, ctx);
    }

    /* from now on there is something to keep */

    ctx->keep = ngx_http_upload_append_keep_step;
    ctx->keep_data = ctx->append;

    ctx->part = ngx_http_upload_part_file;

    rc = ngx_http_upload_form_fields(r, ctx, ctx->conf->form_fields);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_upload_takeover_watch(ctx);

    return ngx_http_upload_read(r, ctx);
}


static int
ngx_http_upload_append_keep_step(void *data)
{
    return upload_append_keep(data);
}


ngx_int_t
ngx_http_upload_append_end(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    /* it is nearly done, and nobody is faster without it */

    ngx_http_upload_takeover_stop(ctx);

    return ngx_http_upload_step(r, ctx, ngx_http_upload_append_finish_step,
                                ctx->append, ngx_http_upload_append_done);
}


static int
ngx_http_upload_append_finish_step(void *data)
{
    return upload_append_finish(data);
}


static ngx_int_t
ngx_http_upload_append_done(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t  rc;

    ctx->keep = NULL;

    rc = ngx_http_upload_file_complete(r, ctx, ctx->sink.offset);

    return (rc == NGX_OK) ? ngx_http_upload_pass(r, ctx) : rc;
}
