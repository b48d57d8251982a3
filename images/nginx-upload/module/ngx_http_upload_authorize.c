
/*
 * The authorize step: a subrequest without a body before anything of the
 * body is read.  Any answer but 2xx goes to the client as it is.
 */


#include "ngx_http_upload.h"


static ngx_int_t ngx_http_upload_authorize_done(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static void ngx_http_upload_authorized(ngx_http_request_t *r);
static ngx_int_t ngx_http_upload_authorize_variables(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_authorize_grant(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static void ngx_http_upload_relay(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);


static ngx_str_t  ngx_http_upload_max_size = ngx_string("X-Upload-Max-Size");
static ngx_str_t  ngx_http_upload_path = ngx_string("X-Upload-Path");
static ngx_str_t  ngx_http_upload_relay_it = ngx_string("X-Upload-Relay");


ngx_int_t
ngx_http_upload_authorize(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_str_t                    uri, args;
    ngx_http_request_t          *sr;
    ngx_http_post_subrequest_t  *ps;

    if (ngx_http_complex_value(r, ctx->conf->authorize, &uri) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (uri.len == 0 || uri.data[0] != '/') {
        ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                      "\"upload_authorize\" is no URI: \"%V\"", &uri);
        ngx_str_set(&ctx->error, "upload_authorize is no URI");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_split_args(r, &uri, &args);

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ps->handler = ngx_http_upload_authorize_done;
    ps->data = ctx;

    if (ngx_http_subrequest(r, &uri, &args, &sr, ps,
                            NGX_HTTP_SUBREQUEST_IN_MEMORY
                            |NGX_HTTP_SUBREQUEST_WAITED)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* it has no body: neither the client's nor the length of that */

    sr->request_body = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    if (sr->request_body == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    sr->headers_in.content_length_n = -1;
    sr->headers_in.chunked = 0;

    ctx->subrequest = sr;

    r->write_event_handler = ngx_http_upload_authorized;
    r->main->count++;
    ctx->held = 1;

    return NGX_DONE;
}


static ngx_int_t
ngx_http_upload_authorize_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_upload_ctx_t *ctx = data;

    ngx_uint_t            incomplete;
    ngx_http_upstream_t  *u;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "upload authorize done: %i, status %ui",
                   rc, r->headers_out.status);

    /*
     * The answer may not fit in memory.  Core takes an error of any output
     * filter for one of the client's connection, which nothing was sent to.
     */

    u = r->upstream;

    incomplete = r->header_sent
                 && (rc == NGX_ERROR
                     || (rc == NGX_OK && u && u->pipe
                         && u->pipe->downstream_error));

    if (incomplete) {
        r->connection->error = 0;
    }

    if (r->connection->error
        || rc == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || rc == NGX_HTTP_REQUEST_TIME_OUT)
    {
        /* the client is gone */
        return rc;
    }

    ctx->authorized = 1;

    if (incomplete || rc == NGX_ERROR) {
        ctx->status = NGX_HTTP_BAD_GATEWAY;
        ctx->nginx_error = 1;

        if (incomplete) {
            ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                          "the answer of \"upload_authorize\" is incomplete "
                          "or larger than \"subrequest_output_buffer_size\"");
            ngx_str_set(&ctx->error, "the answer of upload_authorize is "
                                     "incomplete or larger than "
                                     "subrequest_output_buffer_size");
        }

    } else if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        /* nginx itself has no answer from the application, or denies */
        ctx->status = rc;
        ctx->nginx_error = 1;

    } else if (rc >= NGX_HTTP_OK) {
        ctx->status = rc;

    } else if (r->headers_out.status) {
        ctx->status = r->headers_out.status;

    } else {
        ctx->status = NGX_HTTP_BAD_GATEWAY;
        ctx->nginx_error = 1;
    }

    /* the parent request goes on in any case */

    return NGX_OK;
}


static void
ngx_http_upload_authorized(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_str_t              *relay;
    ngx_http_upload_ctx_t  *ctx;

    ctx = ngx_http_upload_get_ctx(r);

    if (!ctx->authorized) {
        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    if (ctx->nginx_error) {
        ngx_http_upload_fail(r, ctx, ctx->status);
        return;
    }

    if (ctx->status < NGX_HTTP_OK || ctx->status >= NGX_HTTP_SPECIAL_RESPONSE)
    {
        ngx_http_upload_relay(r, ctx);
        return;
    }

    relay = ngx_http_upload_answer(ctx, &ngx_http_upload_relay_it);

    if (relay) {

        if (relay->len == 1 && relay->data[0] == '1') {
            ngx_http_upload_relay(r, ctx);

        } else {
            rc = ngx_http_upload_bad_answer(r, ctx, &ngx_http_upload_relay_it,
                                            relay);
            ngx_http_upload_fail(r, ctx, rc);
        }

        return;
    }

    if (ngx_http_upload_authorize_variables(r, ctx) != NGX_OK) {
        ngx_http_upload_fail(r, ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    rc = ngx_http_upload_authorize_grant(r, ctx);

    if (rc == NGX_OK) {
        rc = ngx_http_upload_receive(r, ctx);
    }

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_upload_fail(r, ctx, rc);
    }
}


static ngx_int_t
ngx_http_upload_authorize_variables(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx)
{
    ngx_str_t                    value;
    ngx_uint_t                   i;
    ngx_http_variable_t         *v;
    ngx_http_variable_value_t   *vv;
    ngx_http_core_main_conf_t   *cmcf;
    ngx_http_upload_variable_t  *uv;

    if (ctx->conf->authorize_variables == NULL) {
        return NGX_OK;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    v = cmcf->variables.elts;

    uv = ctx->conf->authorize_variables->elts;

    for (i = 0; i < ctx->conf->authorize_variables->nelts; i++) {

        if (ngx_http_complex_value(ctx->subrequest, &uv[i].value, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* stored, so that it is there after internal redirects too */

        vv = &r->variables[uv[i].index];

        vv->valid = 1;
        vv->not_found = 0;
        vv->data = value.data;
        vv->len = value.len;

        if (uv[i].set_handler) {
            uv[i].set_handler(r, vv, v[uv[i].index].data);
        }
    }

    return NGX_OK;
}


/* what the answer allows, and where the body is to go */

static ngx_int_t
ngx_http_upload_authorize_grant(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx)
{
    ngx_str_t  *size, *path;

    size = ngx_http_upload_answer(ctx, &ngx_http_upload_max_size);

    if (size) {
        ctx->granted_size = ngx_atoof(size->data, size->len);

        if (ctx->granted_size == NGX_ERROR) {
            return ngx_http_upload_bad_answer(r, ctx,
                                              &ngx_http_upload_max_size, size);
        }

        if (ctx->granted_size == 0) {
            ctx->granted_size = -1;
        }
    }

    path = ngx_http_upload_answer(ctx, &ngx_http_upload_path);

    if (path == NULL || !ctx->conf->append) {
        return NGX_OK;
    }

    ctx->shape = ngx_http_upload_append;

    return ngx_http_upload_append_grant(r, ctx, path);
}


/* a header of the subrequest's answer, hidden or not; NULL without one */

ngx_str_t *
ngx_http_upload_answer(ngx_http_upload_ctx_t *ctx, ngx_str_t *name)
{
    ngx_table_elt_t     *h;
    ngx_http_request_t  *sr;

    sr = ctx->subrequest;
    h = NULL;

    if (sr->upstream) {
        h = ngx_http_upload_find_header(&sr->upstream->headers_in.headers,
                                        name);
    }

    if (h == NULL) {
        h = ngx_http_upload_find_header(&sr->headers_out.headers, name);
    }

    return h ? &h->value : NULL;
}


ngx_int_t
ngx_http_upload_bad_answer(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_str_t *name, ngx_str_t *value)
{
    ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                  "\"upload_authorize\" answered with an invalid \"%V: %V\"",
                  name, value);

    return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_GATEWAY,
                                  "the answer of upload_authorize has an "
                                  "invalid %V", name);
}


ngx_table_elt_t *
ngx_http_upload_find_header(ngx_list_t *headers, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &headers->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash
                && h[i].key.len == name->len
                && ngx_strncasecmp(h[i].key.data, name->data, name->len) == 0)
            {
                return &h[i];
            }
        }
    }

    return NULL;
}


static void
ngx_http_upload_relay(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_buf_t           *b;
    ngx_int_t            rc;
    ngx_chain_t          out;
    ngx_http_request_t  *sr;

    sr = ctx->subrequest;

    if (r->headers_in.expect) {
        r->keepalive = 0;
    }

    /* no 100 Continue for a body that nobody wants */

    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    r->headers_out = sr->headers_out;

    /* a list of one part points into the structure that was copied */

    if (r->headers_out.headers.last == &sr->headers_out.headers.part) {
        r->headers_out.headers.last = &r->headers_out.headers.part;
    }

    if (r->headers_out.trailers.last == &sr->headers_out.trailers.part) {
        r->headers_out.trailers.last = &r->headers_out.trailers.part;
    }

    ngx_http_clear_content_length(r);

    b = sr->out ? sr->out->buf : NULL;

    if (r->headers_out.status != NGX_HTTP_NO_CONTENT) {
        r->headers_out.content_length_n = b ? b->last - b->pos : 0;
    }

    if (ngx_http_upload_add_headers(r, ctx) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    if (b == NULL || b->pos == b->last) {
        ngx_http_finalize_request(r, ngx_http_send_special(r, NGX_HTTP_LAST));
        return;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    ngx_http_finalize_request(r, ngx_http_output_filter(r, &out));
}
