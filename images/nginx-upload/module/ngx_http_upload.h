
/*
 * What the files of the module's nginx layer share: the configuration of a
 * location, the state of one upload request, and the steps it goes through.
 */


#ifndef _NGX_HTTP_UPLOAD_H_INCLUDED_
#define _NGX_HTTP_UPLOAD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "upload_digest.h"
#include "upload_form.h"
#include "upload_multipart.h"
#include "upload_part_header.h"
#include "upload_writer.h"


/* a file is called after a number of so many digits */
#define NGX_HTTP_UPLOAD_NAME_LEN     10

#define NGX_HTTP_UPLOAD_SIZE_SOFT    0
#define NGX_HTTP_UPLOAD_SIZE_REJECT  1


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
    ngx_array_t                      stores;    /* ngx_path_t *, with levels */
} ngx_http_upload_main_conf_t;


typedef struct {
    ngx_http_complex_value_t        *pass;
    ngx_http_complex_value_t        *authorize;
    ngx_array_t                     *authorize_variables;

    ngx_http_upload_store_t         *store;
    ngx_uint_t                       store_access;
    size_t                           buffer_size;
    ngx_flag_t                       fsync;

    size_t                           max_part_header_len;
    size_t                           max_output_body_len;
    off_t                            max_file_size;
    ngx_uint_t                       max_file_size_action;

    ngx_array_t                     *form_fields;
    ngx_array_t                     *aggregate_fields;
    ngx_array_t                     *pass_fields;
    ngx_array_t                     *headers;
    ngx_array_t                     *cleanup;

    ngx_flag_t                       pass_args;
    ngx_flag_t                       tame_arrays;
} ngx_http_upload_loc_conf_t;


typedef struct ngx_http_upload_file_s  ngx_http_upload_file_t;

struct ngx_http_upload_file_s {
    ngx_http_upload_file_t          *previous;

    ngx_str_t                        path;
    ngx_str_t                        field_name;
    ngx_str_t                        file_name;
    ngx_str_t                        content_type;
    ngx_uint_t                       number;
    ngx_msec_t                       started;

    off_t                            size;
    u_char                           sha256[UPLOAD_SHA256_HEX];

    unsigned                         created:1;
    unsigned                         complete:1;
};


typedef enum {
    ngx_http_upload_part_skip = 0,
    ngx_http_upload_part_field,
    ngx_http_upload_part_file
} ngx_http_upload_part_e;


typedef struct {
    ngx_queue_t                      queue;
    ngx_http_request_t              *request;
    ngx_http_upload_loc_conf_t      *conf;
    ngx_log_t                       *log;

    /* authorize */
    ngx_http_request_t              *subrequest;
    ngx_uint_t                       status;
    off_t                            granted_size;

    /* receive */
    upload_multipart_t              *parser;
    ngx_str_t                        boundary;
    ngx_http_upload_part_e           part;
    ngx_http_upload_file_t          *file;      /* the latest */
    ngx_uint_t                       files;
    upload_writer_t                  writer;
    upload_digest_t                  digest;
    u_char                          *buffer;
    ngx_thread_task_t               *task;

    /* complete */
    upload_form_t                    form;
    upload_form_mark_t               mark;

    ngx_str_t                        error;

    unsigned                         authorized:1;
    unsigned                         nginx_error:1;
    unsigned                         flushing:1;
    unsigned                         yielded:1;
    unsigned                         passed:1;
    unsigned                         headers_added:1;
} ngx_http_upload_ctx_t;


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

/* ngx_http_upload_request.c */

ngx_int_t ngx_http_upload_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_upload_receive(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
void ngx_http_upload_fail(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_int_t rc);
ngx_http_upload_ctx_t *ngx_http_upload_get_ctx(ngx_http_request_t *r);
ngx_int_t ngx_http_upload_add_headers(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
void ngx_http_upload_exit_process(ngx_cycle_t *cycle);

/* ngx_http_upload_authorize.c */

ngx_int_t ngx_http_upload_authorize(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);

/* ngx_http_upload_body.c */

void ngx_http_upload_body_handler(ngx_http_request_t *r);
void ngx_http_upload_process(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);

/* ngx_http_upload_file.c */

ngx_int_t ngx_http_upload_file_begin(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
ngx_int_t ngx_http_upload_file_data(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, const u_char *data, size_t len);
ngx_int_t ngx_http_upload_file_end(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
void ngx_http_upload_file_remove(ngx_http_upload_ctx_t *ctx,
    ngx_http_upload_file_t *file);

/* ngx_http_upload_store.c */

ngx_int_t ngx_http_upload_store_create(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_http_upload_file_t *file);
ngx_int_t ngx_http_upload_store_init(ngx_cycle_t *cycle);

/* ngx_http_upload_pass.c */

ngx_int_t ngx_http_upload_form_status(ngx_http_upload_ctx_t *ctx,
    upload_form_e rc);
ngx_int_t ngx_http_upload_form_fields(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_array_t *fields);
void ngx_http_upload_pass(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx);


extern ngx_module_t  ngx_http_upload_module;


#endif /* _NGX_HTTP_UPLOAD_H_INCLUDED_ */
