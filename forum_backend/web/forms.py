"""What people fill in. The services decide what is valid; a form keeps the text and shows what they said."""

from typing import Any
from uuid import uuid4

from django import forms

from forum_backend.domain.errors import AlreadyTaken, ForumError, IdempotencyMismatch, Invalid
from forum_backend.domain.text import MAX_BODY_LENGTH

MARKDOWN_HELP = "Markdown: *emphasis*, **strong**, `code`, > quote, lists and links."


class PageForm(forms.Form):
    """A form that marks its faulty fields for readers of every kind, and takes over what a service refused."""

    error_css_class = ""

    def refuse(self, error: ForumError) -> None:
        """Show a service's refusal beside the field it is about, or above the form."""
        fields = error.fields if isinstance(error, Invalid) else {}
        if isinstance(error, AlreadyTaken):
            fields = {error.kind: f"This {error.kind} is taken already. Please choose another."}
        if isinstance(error, IdempotencyMismatch):
            fields = {}
            self.add_error(None, "This form was sent before with another text. Load the page anew to post again.")
            return
        shown = {name: text for name, text in fields.items() if name in self.fields}
        for name, text in shown.items():
            self.add_error(name, text if text.endswith((".", "!")) else f"Expected: {text}.")
        if not shown:
            self.add_error(None, error.detail)


class KeyedForm(PageForm):
    """A form that takes effect once, however often it is sent: its key travels hidden."""

    key = forms.RegexField(r"^[\x21-\x7e]{1,200}$", widget=forms.HiddenInput, initial=lambda: uuid4().hex)

    def clean_key(self) -> str:
        return str(self.cleaned_data["key"])


def _text(label: str, longest: int, **options: Any) -> forms.CharField:
    rows = options.pop("rows", None)
    attributes = {"dir": "auto", **options.pop("attrs", {})}
    widget = forms.Textarea({"rows": rows, **attributes}) if rows else forms.TextInput(attributes)
    return forms.CharField(label=label, max_length=longest, widget=widget, **options)


class SignUpForm(PageForm):
    username = forms.CharField(
        max_length=40,
        help_text="Letters, digits, and _ . - between them. It is shown beside what you write.",
        widget=forms.TextInput({"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}),
    )
    display_name = _text("Name shown", 80, required=False, help_text="If you want another one than the username.")
    password = forms.CharField(
        max_length=200,
        strip=False,
        help_text="At least 8 characters, not a common one.",
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    next = forms.CharField(required=False, widget=forms.HiddenInput)


class SignInForm(PageForm):
    username = forms.CharField(
        max_length=150,
        widget=forms.TextInput({"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}),
    )
    password = forms.CharField(
        max_length=200, strip=False, widget=forms.PasswordInput({"autocomplete": "current-password"})
    )
    next = forms.CharField(required=False, widget=forms.HiddenInput)


class ForumForm(PageForm):
    name = _text("Name", 120)
    description = _text("What it is about", 2000, required=False, rows=3)


class NewForumForm(KeyedForm):
    name = _text("Name", 120)
    slug = forms.CharField(
        label="Address",
        max_length=60,
        help_text="Small letters, digits and hyphens: it becomes /f/address/ and stays so.",
        widget=forms.TextInput({"autocapitalize": "none", "spellcheck": "false"}),
    )
    description = _text("What it is about", 2000, required=False, rows=3)


class NewThreadForm(KeyedForm):
    title = _text("Title", 300)
    body = _text("First post", MAX_BODY_LENGTH, rows=10, strip=False, help_text=MARKDOWN_HELP, attrs={"class": "tall"})


class ReplyForm(KeyedForm):
    body = _text("Your reply", MAX_BODY_LENGTH, rows=4, strip=False)
    parent = forms.RegexField(r"^[0-9]{0,18}$", required=False, widget=forms.HiddenInput)


class EditPostForm(PageForm):
    body = _text("Text", MAX_BODY_LENGTH, rows=10, strip=False, help_text=MARKDOWN_HELP, attrs={"class": "tall"})


class ProfileForm(PageForm):
    display_name = _text("Name shown", 80, required=False)
    about = _text("About you", 2000, required=False, rows=5)


class MoveForm(KeyedForm):
    forum = forms.CharField(max_length=60, help_text="Its address or its number.")
    target = forms.CharField(label="To shard", max_length=40)
