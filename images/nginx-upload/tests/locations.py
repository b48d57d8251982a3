"""The nginx configuration under test: the kit's own location first, then one location for each behaviour."""

import re

from harness import DEADLINE

# 200 for nginx alone: a client that does send must not seem to stall
IMPATIENCE = DEADLINE * 1000 // 75

HTTP = """
    subrequest_output_buffer_size 16k;
"""

# what a location needs to receive files; the rest of each location is what it is there for
RECEIVE = """
            upload_store @store@;
            upload_set_form_field file.field $upload_field_name;
            upload_set_form_field file.name $upload_file_name;
            upload_set_form_field file.type $upload_content_type;
            upload_set_form_field file.path $upload_tmp_path;
            upload_aggregate_form_field file.size $upload_file_size;
            upload_aggregate_form_field file.sha256 $upload_file_sha256;
            upload_pass_form_field "^[A-Za-z0-9_-]+$";
            upload_cleanup 400-599;
"""

PLAIN = RECEIVE + "            upload_pass /complete/;\n"

APPEND = """
            upload_append on;
            upload_authorize /internal/authorize;
            upload_store @store@;
            upload_set_form_field path $upload_tmp_path;
            upload_set_form_field type $upload_content_type;
            upload_set_form_field offset $upload_file_offset;
            upload_aggregate_form_field size $upload_file_size;
            upload_aggregate_form_field md5 $upload_file_md5;
            upload_aggregate_form_field sha1 $upload_file_sha1;
            upload_aggregate_form_field sha256 $upload_file_sha256;
            upload_aggregate_form_field sha512 $upload_file_sha512;
            upload_aggregate_form_field crc32 $upload_file_crc32;
            upload_pass /complete/;
            upload_cleanup 400-599;
            error_page 405 = @app;
            error_page 400 408 409 413 415 423 460 500 502 503 504 507 @problem;
"""

RAW = (
    RECEIVE
    + """
            upload_resumable on;
            upload_aggregate_form_field file.crc32 $upload_file_crc32;
            upload_aggregate_form_field file.md5 $upload_file_md5;
            upload_aggregate_form_field file.sha1 $upload_file_sha1;
            upload_aggregate_form_field file.sha512 $upload_file_sha512;
            upload_set_form_field file.range $upload_content_range;
            upload_set_form_field file.number $upload_file_number;
            upload_pass /complete/;
            error_page 400 408 409 413 415 416 500 502 503 504 507 @problem;
"""
)

RAW_STATES = "            upload_state_store @directory@/states;\n"

RAW_PLAIN = RAW + RAW_STATES

RAW_BARE = "upload_resumable on; upload_store @store@; upload_pass /complete/;" + RAW_STATES


def location(name, more):
    return f"        location {name} {{{more}        }}\n"


COMPLETE = location(
    "/complete/",
    """
            internal;
            proxy_pass http://app;
            proxy_set_header Connection "";
            proxy_set_header X-Upload-Grant $upload_grant;
""",
)

LEVELS = location("= /levels", PLAIN.replace("@store@", "@directory@/levels 1 2"))

LOCATIONS = (
    location(
        "= /upload",
        PLAIN
        + """
            upload_authorize /internal/authorize;
            upload_authorize_set $upload_grant $upstream_http_x_upload_grant;
            upload_store_access user:rw group:r;
            error_page 405 = @app;
            error_page 400 408 413 415 500 502 503 504 507 @problem;
""",
    )
    + location(
        "= /internal/authorize",
        """
            internal;
            proxy_pass http://app;
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_set_header X-Upload-Shape form;
            proxy_set_header X-Upload-Method $request_method;
            proxy_set_header X-Upload-Uri $request_uri;
            proxy_set_header X-Upload-Request-Length $content_length;
            proxy_hide_header X-Upload-Grant;
""",
    )
    + COMPLETE
    + location(
        "@app",
        """
            proxy_pass http://app;
""",
    )
    + location(
        "@complete",
        """
            proxy_pass http://app;
""",
    )
    + location(
        "@problem",
        """
            internal;
            default_type application/problem+json;
            return 200 '{"type":"about:blank","status":$status,"detail":"$upload_error"}';
""",
    )
    + location(
        "= /other",
        """
            return 200 "[$upload_file_name$upload_file_size$upload_file_sha256$upload_error]";
""",
    )
)

LOCATIONS += "".join(
    [
        location("= /plain", PLAIN),
        location("= /small-body", "client_max_body_size 10k;" + PLAIN),
        location("= /large-header", "upload_max_part_header_len 8k;" + PLAIN),
        location("= /small-header", "upload_max_part_header_len 128;" + PLAIN),
        location("= /small-form", "upload_max_output_body_len 2000;" + PLAIN),
        location("= /small-file", "upload_max_file_size 1000;" + PLAIN),
        location("= /small-file-reject", "upload_max_file_size 1000; upload_max_file_size_action reject;" + PLAIN),
        location("= /few-parts", "upload_max_parts 10;" + PLAIN),
        location("= /few-fields", "upload_max_fields 3;" + PLAIN),
        location("= /no-limits", "upload_max_parts 0; upload_max_fields 0; upload_max_output_body_len 0;" + PLAIN),
        location("= /limited-rate", "upload_limit_rate 100k; upload_buffer_size 16k;" + PLAIN),
        location("= /tame", "upload_tame_arrays on;" + PLAIN),
        location("= /args", "upload_pass_args on;" + PLAIN),
        location("= /no-fsync", "upload_fsync off;" + PLAIN),
        location("= /small-buffer", "upload_buffer_size 128; client_body_buffer_size 1k;" + PLAIN),
        location("= /large-buffer", "client_body_buffer_size 1m;" + PLAIN),
        location("= /named", RECEIVE + "upload_pass @complete;"),
        location("= /variables", RECEIVE + "set $to /complete/variables; upload_pass $to?from=nginx;"),
        location("= /silent", "upload_store @store@; upload_pass /complete/;"),
        location("= /headers", 'upload_add_header X-One $request_method; upload_add_header X-None "";' + PLAIN),
        location(
            "= /keep",
            RECEIVE.replace("upload_cleanup 400-599;", "upload_cleanup 500 505-599;") + "upload_pass /complete/;",
        ),
        location("= /access", "upload_store_access user:rw group:rw all:r;" + PLAIN),
        location("= /full", PLAIN.replace("@store@", "@full@")),
        location("= /large", PLAIN.replace("@store@", "@large@")),
        location("= /missing", PLAIN.replace("@store@", "/nowhere/$host")),
        LEVELS,
        location("= /levels-on-demand", PLAIN.replace("@store@", "@directory@/$arg_where 2 1")),
        location("= /denied", "upload_authorize /internal/denied;" + PLAIN),
        location("= /internal/denied", "internal; return 403;"),
        location("= /down", "upload_authorize /internal/down;" + PLAIN),
        location("= /internal/down", "internal; proxy_pass @down@; proxy_pass_request_body off;"),
        location("= /down-complete", RECEIVE + "upload_pass /internal/down-complete;"),
        location("= /internal/down-complete", "internal; proxy_pass @down@;"),
        location("= /loop", RECEIVE + "upload_pass /plain;"),
        location(
            "= /uppercase",
            "upload_aggregate_form_field sha $upload_file_sha256_uc;"
            "upload_set_form_field $upload_field_name.n $upload_file_number;"
            'upload_set_form_field "$http_x_absent" skipped;'
            "upload_store @store@; upload_pass /complete/;",
        ),
    ]
)

LOCATIONS += "".join(
    [
        location("= /append", APPEND),
        location("= /append-impatient", f"client_body_timeout {IMPATIENCE}ms;" + APPEND),
        location("= /append-limited", "upload_max_file_size 1000;" + APPEND),
        location("= /append-slow", "upload_limit_rate 1k;" + APPEND),
        location("= /append-access", "upload_store_access user:rw group:r;" + APPEND),
        location("= /append-no-fsync", "upload_fsync off;" + APPEND),
        location("= /append-sha256", re.sub(r".*(md5|sha1|sha512|crc32);\n", "", APPEND)),
        location("= /append-large", re.sub(r".*(md5|sha1|sha512|crc32);\n", "", APPEND).replace("@store@", "@large@")),
        location("= /append-full", APPEND.replace("@store@", "@full@")),
        location("= /append-full-unreserved", "upload_preallocate off;" + APPEND.replace("@store@", "@full@")),
    ]
)

LOCATIONS += "".join(
    [
        location("= /raw", RAW_PLAIN),
        location("= /raw-fast", "upload_fsync off;" + RAW_PLAIN),
        location("= /raw-small-buffer", "upload_buffer_size 128; client_body_buffer_size 1k;" + RAW_PLAIN),
        location("= /raw-wide", "upload_range_header_buffer_size 8k; upload_fsync off;" + RAW_PLAIN),
        location("= /raw-narrow", "upload_range_header_buffer_size 128; upload_fsync off;" + RAW_PLAIN),
        location("= /raw-off", "upload_resumable off;" + RAW_PLAIN.replace("upload_resumable on;", "")),
        location(
            "= /raw-levels",
            RAW.replace("@store@", "@store@/hashed 1") + RAW_STATES.replace("states;", "hashed-states 1 2;"),
        ),
        location(
            "= /raw-on-demand",
            RAW.replace("@store@", "@directory@/$arg_where 2") + "upload_state_store @directory@/$arg_where/states 1;",
        ),
        location("= /raw-limited", "upload_max_file_size 1000;" + RAW_PLAIN),
        location("= /raw-reject", "upload_max_file_size 1000; upload_max_file_size_action reject;" + RAW_PLAIN),
        location("= /raw-full", RAW_PLAIN.replace("@store@", "@full@")),
        location("= /raw-full-late", "upload_preallocate off;" + RAW_PLAIN.replace("@store@", "@full@")),
        location("= /raw-full-state", RAW + "upload_state_store @full@;"),
        location("= /raw-slow", "client_body_timeout 100ms;" + RAW_PLAIN),
        location("= /raw-args", "upload_pass_args on;" + RAW_PLAIN),
        location("= /raw-headers", "upload_add_header X-One $request_method;" + RAW_PLAIN),
        location("= /raw-access", "upload_store_access user:rw group:rw all:r;" + RAW_PLAIN),
        location("= /raw-no-digests", RAW_BARE),
        location("= /raw-one-digest", "upload_aggregate_form_field crc32 $upload_file_crc32;" + RAW_BARE),
        location(
            "= /raw-large",
            "upload_aggregate_form_field size $upload_file_size;"
            "upload_aggregate_form_field sha256 $upload_file_sha256;" + RAW_BARE.replace("@store@", "@large@"),
        ),
        location("= /raw-keep", RAW_PLAIN.replace("upload_cleanup 400-599;", "")),
        location("= /raw-named", RAW_PLAIN.replace("/complete/", "@complete")),
    ]
)
