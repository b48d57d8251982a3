
/*
 * The upload module: streams request bodies to files and passes a small form
 * that names them on to another location.
 */


#include "ngx_http_upload.h"


static ngx_http_module_t  ngx_http_upload_module_ctx = {
    ngx_http_upload_add_variables,         /* preconfiguration */
    ngx_http_upload_init,                  /* postconfiguration */

    ngx_http_upload_create_main_conf,      /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_upload_create_loc_conf,       /* create location configuration */
    ngx_http_upload_merge_loc_conf         /* merge location configuration */
};


ngx_module_t  ngx_http_upload_module = {
    NGX_MODULE_V1,
    &ngx_http_upload_module_ctx,           /* module context */
    ngx_http_upload_commands,              /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_upload_store_init,            /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_upload_exit_process,          /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};
