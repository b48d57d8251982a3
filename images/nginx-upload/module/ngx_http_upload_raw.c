
/*
 * The raw shape: the body is a file, or one range of a file whose ranges come
 * in several requests: Session-ID and Content-Range, with or without "X-".
 */


#include "ngx_http_upload.h"


static ngx_int_t ngx_http_upload_raw_disposition(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_upload_raw_range(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_str_t *value);
static ngx_str_t *ngx_http_upload_raw_header(ngx_http_request_t *r,
    ngx_str_t *name);
static ngx_int_t ngx_http_upload_raw_path(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_http_upload_store_t *store, char *suffix,
    ngx_str_t *path);
static int ngx_http_upload_raw_open_step(void *data);
static ngx_int_t ngx_http_upload_raw_opened(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static int ngx_http_upload_raw_file_step(void *data);
static int ngx_http_upload_raw_finish_step(void *data);
static ngx_int_t ngx_http_upload_raw_done(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_raw_incomplete(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);


static ngx_str_t  ngx_http_upload_session_id = ngx_string("Session-ID");
static ngx_str_t  ngx_http_upload_content_range = ngx_string("Content-Range");
static ngx_str_t  ngx_http_upload_disposition =
    ngx_string("Content-Disposition");


/* what the headers of a request that is no form say */

ngx_int_t
ngx_http_upload_raw_check(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_str_t  *disposition, *session, *range;

    disposition = ngx_http_upload_raw_header(r, &ngx_http_upload_disposition);

    if (disposition == NULL) {
        /* the reason stands already */
        return NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;
    }

    rc = ngx_http_upload_raw_disposition(r, ctx, disposition);
    if (rc != NGX_OK) {
        return rc;
    }

    session = ngx_http_upload_raw_header(r, &ngx_http_upload_session_id);
    range = ngx_http_upload_raw_header(r, &ngx_http_upload_content_range);

    if (session == NULL) {

        if (range) {
            return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST,
                                          "a range needs a Session-ID header");
        }

    } else {

        if (!upload_session_id_valid(session->data, session->len)) {
            return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST,
                                          "a Session-ID has 1 to %d letters, "
                                          "digits, _ and -",
                                          UPLOAD_SESSION_ID_MAX);
        }

        ctx->segment = ngx_palloc(r->pool, sizeof(upload_segment_t));
        if (ctx->segment == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        upload_segment_init(ctx->segment, &ctx->sink);
        ctx->session = *session;
    }

    if (range) {
        rc = ngx_http_upload_raw_range(r, ctx, range);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ctx->shape = ngx_http_upload_raw;

    return NGX_OK;
}


/* the header has the same rules as that of a part */

static ngx_int_t
ngx_http_upload_raw_disposition(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_str_t *value)
{
    u_char      *line, *copy;
    size_t       len;
    const char  *reason;

    len = sizeof("Content-Disposition: ") - 1 + value->len;

    line = ngx_pnalloc(r->pool, len);
    copy = ngx_pnalloc(r->pool, len);

    if (line == NULL || copy == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_sprintf(line, "Content-Disposition: %V", value);

    ngx_memzero(&ctx->raw, sizeof(upload_part_t));

    reason = upload_part_header(&ctx->raw, line, len, copy, NULL);

    if (reason) {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST, "%s",
                                      reason);
    }

    ctx->raw.content_type.data = r->headers_in.content_type->value.data;
    ctx->raw.content_type.len = r->headers_in.content_type->value.len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_raw_range(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_str_t *value)
{
    off_t                    length, max;
    upload_content_range_t   range;

    if (upload_content_range_parse(value->data, value->len, &range) != 0) {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST,
                                      "a range is written as "
                                      "bytes FIRST-LAST/TOTAL");
    }

    length = r->headers_in.content_length_n;

    if (length < 0 && r->http_version < NGX_HTTP_VERSION_20) {
        length = 0;
    }

    if (length >= 0 && !r->headers_in.chunked
        && length != range.last - range.first + 1)
    {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_RANGE_NOT_SATISFIABLE,
                                      "the body has %O bytes and its range %O",
                                      length, range.last - range.first + 1);
    }

    max = ctx->conf->max_file_size;

    if (max && range.total > max) {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                      "the file is larger than %O bytes "
                                      "(upload_max_file_size)", max);
    }

    ctx->segment->first = range.first;
    ctx->segment->last = range.last;
    ctx->segment->total = range.total;

    return NGX_OK;
}


static ngx_str_t *
ngx_http_upload_raw_header(ngx_http_request_t *r, ngx_str_t *name)
{
    u_char            prefixed[sizeof("X-Content-Disposition")];
    ngx_str_t         x;
    ngx_table_elt_t  *h;

    h = ngx_http_upload_find_header(&r->headers_in.headers, name);

    if (h == NULL) {
        x.data = prefixed;
        x.len = ngx_sprintf(prefixed, "X-%V", name) - prefixed;

        h = ngx_http_upload_find_header(&r->headers_in.headers, &x);
    }

    return h ? &h->value : NULL;
}


ngx_int_t
ngx_http_upload_raw_open(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_str_t                path, state, checkpoint;
    upload_segment_t        *segment;
    ngx_http_upload_file_t  *file;

    segment = ctx->segment;

    if (segment == NULL) {
        ctx->part = ngx_http_upload_part_file;
        return ngx_http_upload_file_begin(r, ctx, &ctx->raw);
    }

    file = ngx_http_upload_file_new(r, ctx, &ctx->raw);
    if (file == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_null(&path);
    ngx_str_null(&state);

    rc = ngx_http_upload_raw_path(r, ctx, ctx->conf->store, "", &path);

    if (rc == NGX_OK) {
        rc = ngx_http_upload_raw_path(r, ctx, ctx->conf->state_store, ".state",
                                      &state);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    /* beside the state, however the levels would sort it */

    checkpoint.len = state.len - sizeof(".state") + sizeof(".checkpoint");
    checkpoint.data = ngx_pnalloc(r->pool, checkpoint.len + 1);
    if (checkpoint.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    state.len -= sizeof(".state") - 1;
    (void) ngx_sprintf(checkpoint.data, "%V.checkpoint%Z", &state);

    file->path = path;
    file->offset = segment->first;

    if (segment->total) {
        rc = ngx_http_upload_file_size(r, ctx, segment->total);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    segment->path = (char *) path.data;
    segment->state_path = (char *) state.data;
    segment->checkpoint_path = (char *) checkpoint.data;
    segment->mode = ctx->conf->store_access;
    segment->reserve = ctx->conf->preallocate;

    upload_sink_init(&ctx->sink, ctx->conf->digests, ctx->conf->fsync);

    if (ctx->conf->preallocate
        && !r->headers_in.chunked
        && r->headers_in.content_length_n > 0)
    {
        ctx->sink.reserve = r->headers_in.content_length_n;
    }

    return ngx_http_upload_step(r, ctx, ngx_http_upload_raw_open_step, segment,
                                ngx_http_upload_raw_opened);
}


static ngx_int_t
ngx_http_upload_raw_path(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_http_upload_store_t *store, char *suffix, ngx_str_t *path)
{
    size_t      prefix, name;
    ngx_err_t   err;
    ngx_int_t   rc;
    ngx_path_t  directory;

    rc = ngx_http_upload_store_path(r, ctx, store, &directory);
    if (rc != NGX_OK) {
        return rc;
    }

    name = ctx->session.len + ngx_strlen(suffix);

    if (name < ngx_http_upload_store_digits(&directory)) {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST,
                                      "the Session-ID is shorter than the "
                                      "directories of upload_store need");
    }

    prefix = directory.name.len + 1 + directory.len;

    path->len = prefix + name;
    path->data = ngx_pnalloc(r->pool, path->len + 1);
    if (path->data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(path->data, directory.name.data, directory.name.len);
    (void) ngx_sprintf(path->data + prefix, "%V%s%Z", &ctx->session, suffix);

    ngx_create_hashed_filename(&directory, path->data, path->len);

    err = ngx_http_upload_store_levels(&directory, path->data,
                                       (ngx_uid_t) NGX_CONF_UNSET_UINT);

    return err ? ngx_http_upload_store_failed(r, ctx, err, path->data)
               : NGX_OK;
}


static int
ngx_http_upload_raw_open_step(void *data)
{
    return upload_segment_open(data);
}


static ngx_int_t
ngx_http_upload_raw_opened(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t  rc;

    /* the whole file, and not a range that is kept when it fails */

    ctx->file->created = (ctx->segment->total == 0);

    ctx->part = ngx_http_upload_part_file;

    rc = ngx_http_upload_form_fields(r, ctx, ctx->conf->form_fields);

    return (rc == NGX_OK) ? ngx_http_upload_read(r, ctx) : rc;
}


ngx_int_t
ngx_http_upload_raw_end(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    off_t              length;
    upload_segment_t  *segment;

    if (ctx->part == ngx_http_upload_part_skip) {
        /* it was too large, softly */
        return ngx_http_upload_pass(r, ctx);
    }

    segment = ctx->segment;

    if (segment == NULL) {
        return ngx_http_upload_step(r, ctx, ngx_http_upload_raw_file_step,
                                    &ctx->sink, ngx_http_upload_raw_done);
    }

    length = segment->last - segment->first + 1;

    if (segment->total && ctx->queued != length) {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_RANGE_NOT_SATISFIABLE,
                                      "the body has %O bytes and its range %O",
                                      ctx->queued, length);
    }

    return ngx_http_upload_step(r, ctx, ngx_http_upload_raw_finish_step,
                                segment, ngx_http_upload_raw_done);
}


static int
ngx_http_upload_raw_file_step(void *data)
{
    return upload_sink_finish(data);
}


static int
ngx_http_upload_raw_finish_step(void *data)
{
    return upload_segment_finish(data);
}


static ngx_int_t
ngx_http_upload_raw_done(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    off_t              size;
    ngx_int_t          rc;
    upload_segment_t  *segment;

    segment = ctx->segment;

    if (segment && !segment->complete) {
        return ngx_http_upload_raw_incomplete(r, ctx);
    }

    size = (segment && segment->total) ? segment->total : ctx->sink.offset;

    ctx->file->created = 1;

    rc = ngx_http_upload_file_complete(r, ctx, size);

    return (rc == NGX_OK) ? ngx_http_upload_pass(r, ctx) : rc;
}


/* 201 with the ranges that are there; the backend hears of the last one */

static ngx_int_t
ngx_http_upload_raw_incomplete(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx)
{
    ngx_buf_t        *b;
    ngx_int_t         rc;
    ngx_chain_t       out;
    ngx_table_elt_t  *h;

    b = ngx_create_temp_buf(r->pool, ctx->conf->range_header_buffer_size);
    h = ngx_list_push(&r->headers_out.headers);

    if (b == NULL || h == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last += upload_ranges_format(&ctx->segment->ranges, ',',
                                    (char *) b->pos, b->end - b->pos);
    b->last_buf = 1;
    b->last_in_chain = 1;

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    ngx_str_set(&h->key, "Range");
    h->value.data = b->pos;
    h->value.len = b->last - b->pos;

    if (ngx_http_upload_add_headers(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_block_reading;
    r->headers_out.status = NGX_HTTP_CREATED;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc != NGX_ERROR && rc <= NGX_OK && !r->header_only
        && b->last != b->pos)
    {
        out.buf = b;
        out.next = NULL;

        rc = ngx_http_output_filter(r, &out);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}
