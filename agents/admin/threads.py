"""Conversations and their messages."""

from django.contrib import admin

from agents.models import Message, Thread
from contexts.admin.scoping import TenantRecordAdmin


@admin.register(Thread)
class ThreadAdmin(TenantRecordAdmin):
    """Conversations."""

    list_display = ("title_or_id", "user", "tenant", "created_at", "updated_at")
    list_filter = (("tenant", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("user", "tenant")
    search_fields = ("=id", "title", "user__username")
    date_hierarchy = "created_at"

    @admin.display(description="title", ordering="title")
    def title_or_id(self, thread: Thread) -> str:
        """Return what to call the conversation."""
        return str(thread)


@admin.register(Message)
class MessageAdmin(TenantRecordAdmin):
    """Questions and answers."""

    list_display = ("created_at", "author", "user", "tenant", "beginning")
    list_filter = ("author", ("tenant", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("=id", "=thread__id", "user__username")
    date_hierarchy = "created_at"

    @admin.display(description="text")
    def beginning(self, message: Message) -> str:
        """Return the first 80 characters of the text."""
        return message.text[:80]
