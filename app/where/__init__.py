"""The language of `where`: expressions over the properties of an event or a profile (wire section 14). Pure."""
