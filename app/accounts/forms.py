"""What people fill in on the account page."""

from datetime import datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.http import QueryDict
from django.utils import timezone

from accounts.models import ApiToken, Scope, User

_NEVER: Final = "never"
_DATE: Final = "date"
_DAYS: Final = (7, 30, 90, 365)
_SCOPES: Final = {
    Scope.ALL: "Everything that I may do with uploads",
    Scope.UPLOAD: "Uploading: what it begins itself, and nothing else",
    Scope.READ: "Reading: list, describe and download",
}


class TokenForm(forms.Form):
    """A new token: `clean` leaves `name`, `scope` and `expires`."""

    name = forms.CharField(
        max_length=100, help_text="What will use it, for example: sequencer 3.", label="Name"
    )
    scope = forms.ChoiceField(choices=[*_SCOPES.items()], label="Good for")
    expiry = forms.ChoiceField(
        choices=[
            (_NEVER, "never"),
            *((str(days), f"in {days} days") for days in _DAYS),
            (_DATE, "at the end of a day"),
        ],
        initial="90",
        label="Expires",
    )
    date = forms.DateField(
        required=False,
        label="Last day",
        help_text="Only if it expires at the end of a day.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, owner: User, said: QueryDict | None = None) -> None:
        """Take whose token it will be, and what was filled in."""
        super().__init__(said, label_suffix="")
        self.owner = owner

    def clean_name(self) -> str:
        """Refuse a name that a token has, also when the page of a new one is sent again."""
        name: str = self.cleaned_data["name"]
        if ApiToken.objects.filter(owner=self.owner, name=name).exists():
            raise forms.ValidationError(
                "There is a token with this name, and its text is not shown again: choose another"
                " name."
            )
        return name

    def clean(self) -> dict[str, Any]:
        """Add when the token expires."""
        cleaned = self.cleaned_data
        expiry, date = cleaned.get("expiry"), cleaned.get("date")
        now = timezone.now()
        if expiry == _DATE and date is not None:
            cleaned["expires"] = timezone.make_aware(datetime.combine(date, time.max))
            if cleaned["expires"] <= now:
                self.add_error("date", "This day is over: choose a later one.")
        elif expiry == _DATE:
            if not self.has_error("date"):
                self.add_error("date", "Choose the last day of the token.")
        elif expiry not in {None, _NEVER}:
            cleaned["expires"] = now + timedelta(days=int(expiry))
        return cleaned
