"""The addresses of the pages."""

from django.urls import path

from realtime import views

urlpatterns = [path("", views.chat_page, name="chat")]
