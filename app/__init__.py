"""Portcullis: a gate in front of a product-analytics event store. The web application is `app.web.create_app`."""
