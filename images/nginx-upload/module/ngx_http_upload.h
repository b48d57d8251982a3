
/*
 * What the files of the module's nginx layer share: the configuration of a
 * location, the state of one upload request, and the steps it goes through.
 */


#ifndef _NGX_HTTP_UPLOAD_H_INCLUDED_
#define _NGX_HTTP_UPLOAD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "upload_append.h"
#include "upload_digest.h"
#include "upload_form.h"
#include "upload_multipart.h"
#include "upload_part_header.h"
#include "upload_segment.h"
#include "upload_sink.h"
#include "upload_takeover.h"


/* a file is called after a number of so many digits */
#define NGX_HTTP_UPLOAD_NAME_LEN     10

#define NGX_HTTP_UPLOAD_SIZE_SOFT    0
#define NGX_HTTP_UPLOAD_SIZE_REJECT  1

/* one buffer is received into while a thread has another: and some slack */
#define NGX_HTTP_UPLOAD_BUFFERS      4

/* ranges of one batch: more than that is a body in chunks of some bytes */
#define NGX_HTTP_UPLOAD_PIECES       64

/* what the parser held back between two reads, a few times */
#define NGX_HTTP_UPLOAD_SIDE         1024

/* statuses that core has no names for: that of WebDAV, and that of tus */
#define NGX_HTTP_UPLOAD_LOCKED       423
#define NGX_HTTP_UPLOAD_MISMATCH     460


typedef struct {
    ngx_http_complex_value_t         name;
    ngx_http_complex_value_t         value;
} ngx_http_upload_pair_t;


typedef struct {
    ngx_int_t                        index;
    ngx_http_complex_value_t         value;
    ngx_http_set_variable_pt         set_handler;
} ngx_http_upload_variable_t;


typedef struct {
    ngx_uint_t                       from;
    ngx_uint_t                       to;
} ngx_http_upload_statuses_t;


typedef struct {
    ngx_path_t                      *path;
    ngx_http_complex_value_t        *value;     /* NULL: path is static */
} ngx_http_upload_store_t;


typedef struct {
    ngx_queue_t                      live;      /* ngx_http_upload_ctx_t */
    ngx_uint_t                       working;   /* uploads, in threads */
    ngx_array_t                      stores;    /* ngx_path_t *, with levels */
} ngx_http_upload_main_conf_t;


typedef struct {
    ngx_http_complex_value_t        *pass;
    ngx_http_complex_value_t        *authorize;
    ngx_array_t                     *authorize_variables;

    ngx_http_upload_store_t         *store;
    ngx_http_upload_store_t         *state_store;
    ngx_uint_t                       store_access;
    size_t                           buffer_size;
    size_t                           merge_buffer_size;
    size_t                           range_header_buffer_size;
    size_t                           limit_rate;
    ngx_flag_t                       append;
    ngx_flag_t                       resumable;
    ngx_flag_t                       fsync;
    ngx_flag_t                       preallocate;

    size_t                           max_part_header_len;
    size_t                           max_output_body_len;
    off_t                            max_file_size;
    ngx_uint_t                       max_file_size_action;
    ngx_int_t                        max_parts;
    ngx_int_t                        max_fields;

    ngx_array_t                     *form_fields;
    ngx_array_t                     *aggregate_fields;
    ngx_array_t                     *pass_fields;
    ngx_array_t                     *headers;
    ngx_array_t                     *cleanup;

    ngx_flag_t                       pass_args;
    ngx_flag_t                       tame_arrays;
    ngx_flag_t                       empty_field_names;

    unsigned                         digests;   /* that the fields mention */
} ngx_http_upload_loc_conf_t;


typedef struct ngx_http_upload_ctx_s   ngx_http_upload_ctx_t;
typedef struct ngx_http_upload_file_s  ngx_http_upload_file_t;

struct ngx_http_upload_file_s {
    ngx_http_upload_file_t          *previous;

    ngx_str_t                        path;
    ngx_str_t                        field_name;
    ngx_str_t                        file_name;
    ngx_str_t                        content_type;
    ngx_uint_t                       number;
    ngx_msec_t                       started;

    off_t                            offset;    /* where this request began */
    off_t                            size;
    upload_digest_t                 *digest;    /* of the complete file */

    unsigned                         created:1;
    unsigned                         complete:1;
};


/* memory that the body is received into */

typedef struct {
    ngx_buf_t                       *buf;
    ngx_uint_t                       batch;     /* the last that refers to it */
    size_t                           touched;   /* by an HTTP/2 stream */
    unsigned                         once:1;    /* not used again */
} ngx_http_upload_buffer_t;


/* what a thread does in one go */

typedef int (*ngx_http_upload_step_pt)(void *data);

typedef struct {
    upload_sink_t                   *sink;
    upload_append_t                 *append;
    ngx_http_upload_step_pt          step;
    void                            *data;
    int                              err;
    ngx_atomic_t                     threads;   /* that are at it */

    size_t                           size;      /* bytes of the pieces */
    ngx_uint_t                       n;
    upload_piece_t                   pieces[NGX_HTTP_UPLOAD_PIECES];
    size_t                           side_len;
    u_char                           side[NGX_HTTP_UPLOAD_SIDE];
} ngx_http_upload_batch_t;


/* looks for others who want the file, or waits for another one to leave it */

typedef struct {
    ngx_event_t                      event;
    ngx_msec_t                       since;     /* silent, or waiting */
    off_t                            received;
} ngx_http_upload_takeover_t;


typedef ngx_int_t (*ngx_http_upload_done_pt)(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);


typedef enum {
    ngx_http_upload_form = 0,
    ngx_http_upload_raw,
    ngx_http_upload_append
} ngx_http_upload_shape_e;


typedef enum {
    ngx_http_upload_part_skip = 0,
    ngx_http_upload_part_field,
    ngx_http_upload_part_file
} ngx_http_upload_part_e;


struct ngx_http_upload_ctx_s {
    ngx_queue_t                      queue;
    ngx_http_request_t              *request;
    ngx_http_upload_loc_conf_t      *conf;
    ngx_log_t                       *log;
    ngx_http_upload_shape_e          shape;

    /* authorize */
    ngx_http_request_t              *subrequest;
    ngx_uint_t                       status;
    off_t                            granted_size;      /* -1: any */
    ngx_int_t                        refusal;   /* unless it is appended */

    /* receive */
    upload_multipart_t              *parser;
    ngx_str_t                        boundary;
    ngx_http_upload_part_e           part;
    ngx_http_upload_file_t          *file;      /* the latest */
    ngx_uint_t                       files;
    ngx_uint_t                       parts;
    ngx_uint_t                       fields;
    off_t                            received;
    ngx_int_t                        broken;    /* status, the body's end */
    off_t                            queued;    /* of the latest file */
    upload_sink_t                    sink;
    upload_append_t                 *append;
    ngx_http_upload_takeover_t      *takeover;  /* of append */
    upload_segment_t                *segment;
    upload_part_t                    raw;
    ngx_str_t                        session;

    /* the pipeline: one batch is filled while a thread works on the other */
    ngx_http_upload_buffer_t         buffers[NGX_HTTP_UPLOAD_BUFFERS];
    ngx_http_upload_buffer_t        *current;   /* that core receives into */
    ngx_uint_t                       small_reads;   /* of a stream, in a row */
    ngx_http_upload_batch_t          batches[2];
    ngx_http_upload_batch_t         *batch;     /* being filled */
    ngx_uint_t                       batch_number;
    ngx_uint_t                       finished;  /* number of a batch */
    ngx_thread_task_t               *task;
    ngx_thread_task_t               *hash_task;
    ngx_http_upload_step_pt          step;
    void                            *step_data;
    ngx_http_upload_done_pt          done;
    ngx_http_upload_step_pt          keep;      /* if the request fails */
    void                            *keep_data;
    ngx_int_t                        failure;

    /* complete */
    upload_form_t                    form;
    upload_form_mark_t               mark;

    ngx_str_t                        error;

    unsigned                         authorized:1;
    unsigned                         nginx_error:1;
    unsigned                         held:1;        /* a count of core's */
    unsigned                         working:2;     /* threads */
    unsigned                         worked:1;
    unsigned                         filled:1;      /* the small buffer */
    unsigned                         stalled:1;
    unsigned                         yielded:1;
    unsigned                         delayed:1;
    unsigned                         undelivered:1;
    unsigned                         passed:1;
    unsigned                         headers_added:1;
};


/* ngx_http_upload_conf.c */

extern ngx_command_t  ngx_http_upload_commands[];

void *ngx_http_upload_create_main_conf(ngx_conf_t *cf);
void *ngx_http_upload_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_upload_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

/* ngx_http_upload_directives.c */

char *ngx_http_upload_set_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_upload_set_store(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_upload_default_store(ngx_conf_t *cf,
    ngx_http_upload_store_t **store);
char *ngx_http_upload_set_access(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_upload_set_action(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_upload_set_pair(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_upload_set_pass_field(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_upload_set_cleanup(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_upload_set_variable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* ngx_http_upload_variables.c */

ngx_int_t ngx_http_upload_add_variables(ngx_conf_t *cf);
ngx_uint_t ngx_http_upload_aggregate_variable(ngx_str_t *text,
    ngx_str_t *name);
unsigned ngx_http_upload_digests(ngx_array_t *pairs);

/* ngx_http_upload_request.c */

ngx_int_t ngx_http_upload_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_upload_receive(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_read(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_http_upload_ctx_t *ngx_http_upload_get_ctx(ngx_http_request_t *r);

/* ngx_http_upload_end.c */

void ngx_http_upload_fail(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_int_t rc);
ngx_int_t ngx_http_upload_refuse(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_int_t rc);
ngx_int_t ngx_http_upload_add_headers(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
void ngx_http_upload_cleanup(void *data);
ngx_int_t ngx_http_upload_init(ngx_conf_t *cf);
void ngx_http_upload_exit_process(ngx_cycle_t *cycle);

/* ngx_http_upload_error.c */

void ngx_http_upload_log(ngx_http_upload_ctx_t *ctx);
void ngx_http_upload_explain(ngx_http_upload_ctx_t *ctx, ngx_int_t rc);
ngx_int_t ngx_http_upload_reason(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_int_t rc, const char *fmt, ...);
ngx_int_t ngx_http_upload_work_failed(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, int err);

/* ngx_http_upload_authorize.c */

ngx_int_t ngx_http_upload_authorize(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_str_t *ngx_http_upload_answer(ngx_http_upload_ctx_t *ctx,
    ngx_str_t *name);
ngx_int_t ngx_http_upload_bad_answer(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_str_t *name, ngx_str_t *value);
ngx_table_elt_t *ngx_http_upload_find_header(ngx_list_t *headers,
    ngx_str_t *name);

/* ngx_http_upload_body.c */

void ngx_http_upload_body_handler(ngx_http_request_t *r);
void ngx_http_upload_process(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);

/* ngx_http_upload_buffers.c */

void ngx_http_upload_buffers_init(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_buffer_ready(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
void ngx_http_upload_buffer_used(ngx_http_upload_ctx_t *ctx,
    const u_char *data);
void ngx_http_upload_buffers_free(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);

/* ngx_http_upload_pipeline.c */

ngx_int_t ngx_http_upload_data(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, const u_char *data, size_t len,
    ngx_uint_t copy);
ngx_int_t ngx_http_upload_submit(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_step(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_http_upload_step_pt step, void *data,
    ngx_http_upload_done_pt done);
void ngx_http_upload_pipeline_init(ngx_http_upload_ctx_t *ctx);
void ngx_http_upload_pipeline_close(ngx_http_upload_ctx_t *ctx);

/* ngx_http_upload_parts.c */

ngx_int_t ngx_http_upload_parts_init(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_parse(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_buf_t *b);
ngx_int_t ngx_http_upload_parts_end(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);

/* ngx_http_upload_file.c */

ngx_http_upload_file_t *ngx_http_upload_file_new(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, upload_part_t *part);
ngx_int_t ngx_http_upload_file_begin(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, upload_part_t *part);
ngx_int_t ngx_http_upload_file_size(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, off_t size);
ngx_int_t ngx_http_upload_file_end(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_file_complete(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, off_t size);
void ngx_http_upload_file_remove(ngx_http_upload_ctx_t *ctx,
    ngx_http_upload_file_t *file);

/* ngx_http_upload_append.c */

ngx_int_t ngx_http_upload_append_grant(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_str_t *path);
ngx_int_t ngx_http_upload_append_open(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_append_try(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_append_end(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);

/* ngx_http_upload_takeover.c */

ngx_int_t ngx_http_upload_takeover_init(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
void ngx_http_upload_takeover_watch(ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_takeover_wait(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
void ngx_http_upload_takeover_stop(ngx_http_upload_ctx_t *ctx);

/* ngx_http_upload_raw.c */

ngx_int_t ngx_http_upload_raw_check(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_raw_open(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_raw_end(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);

/* ngx_http_upload_store.c */

ngx_int_t ngx_http_upload_store_create(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_http_upload_file_t *file);
ngx_int_t ngx_http_upload_store_path(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_http_upload_store_t *store,
    ngx_path_t *path);
size_t ngx_http_upload_store_digits(ngx_path_t *path);
ngx_err_t ngx_http_upload_store_levels(ngx_path_t *path, u_char *name,
    ngx_uid_t user);
ngx_int_t ngx_http_upload_store_failed(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_err_t err, u_char *name);
ngx_int_t ngx_http_upload_store_init(ngx_cycle_t *cycle);

/* ngx_http_upload_pass.c */

ngx_int_t ngx_http_upload_number_boundary(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_form_status(ngx_http_upload_ctx_t *ctx,
    upload_form_e rc);
ngx_int_t ngx_http_upload_form_fields(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_array_t *fields);
ngx_int_t ngx_http_upload_pass(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);


extern ngx_module_t  ngx_http_upload_module;


#endif /* _NGX_HTTP_UPLOAD_H_INCLUDED_ */
