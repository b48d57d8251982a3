"""Addresses. nginx keeps /internal/ and /complete/ to itself, and the POST of /upload."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import path
from django.views.generic import RedirectView

from accounts import account_views
from accounts.sign_in import SignIn
from accounts.views import token
from config.errors import HANDLERS
from config.health import healthz
from monitoring.views import status
from uploads import (
    append_views,
    chunk_views,
    file_views,
    handoff_views,
    segment_views,
    share_views,
    table_views,
    views,
)

handler400, handler403, handler404, handler500 = HANDLERS

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="upload"), name="home"),
    path("healthz", healthz, name="healthz"),
    path("internal/authorize", handoff_views.authorize, name="authorize"),
    path("complete/", handoff_views.complete, name="complete"),
    path("complete/too-long", append_views.too_long, name="complete-too-long"),
    path("complete/chunk", chunk_views.complete, name="complete-chunk"),
    path("complete/segment", segment_views.complete, name="complete-segment"),
    path("upload", views.upload_page, name="upload"),
    path("files/", append_views.resource, name="resources"),
    path("files/<path:target>", append_views.resource, name="resource"),
    path("chunked/", chunk_views.resource, name="chunks"),
    path("chunked/<str:target>", chunk_views.resource, name="chunked-upload"),
    path("segments/", segment_views.resource, name="segments"),
    path("uploads/", table_views.upload_table, name="uploads"),
    path("uploads/<uuid:upload_id>", file_views.upload_detail, name="upload-detail"),
    path("uploads/<uuid:upload_id>/download", file_views.download, name="download"),
    path("uploads/<uuid:upload_id>/rename", file_views.rename, name="rename"),
    path("uploads/<uuid:upload_id>/delete", file_views.delete, name="delete"),
    path("uploads/<uuid:upload_id>/share", file_views.share, name="share"),
    path(
        "uploads/<uuid:upload_id>/shares/<uuid:link_id>/withdraw",
        file_views.withdraw,
        name="withdraw",
    ),
    path("shared/<str:token>", share_views.shared, name="shared"),
    path("shared/<str:token>/download", share_views.shared_download, name="shared-download"),
    path("accounts/", account_views.account, name="account"),
    path("accounts/login/", SignIn.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("accounts/password/", account_views.change_password, name="password-change"),
    path("accounts/token", token, name="token"),
    path("accounts/tokens/", account_views.tokens, name="tokens"),
    path("accounts/tokens/<int:pk>/revoke", account_views.revoke_token, name="token-revoke"),
    path(
        "accounts/sessions/end-others",
        account_views.end_other_sessions,
        name="sessions-end-others",
    ),
    path("accounts/sessions/<int:pk>/end", account_views.end_session, name="session-end"),
    path("admin/status", status, name="status"),
    path("admin/", admin.site.urls),
]
