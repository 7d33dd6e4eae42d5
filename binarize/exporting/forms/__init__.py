"""The forms of an exported file, one file each; `table` lists them and says how to add one."""

from binarize.exporting.forms.table import DEFAULT_FORM, FLOAT, FORMS, Form

__all__ = ["DEFAULT_FORM", "FLOAT", "FORMS", "Form"]
