"""HTML pages of one file that load nothing, from their sections."""

import base64
import hashlib
import html
import string

from magvit3d.report import page_texts


def make_page(
  title: str,
  lead: str,
  sections: dict[str, str],
  script: str = "",
  style: str = "",
) -> str:
  """Returns a page whose security policy forbids the network.

  Args:
    title: Text of its head.
    lead: HTML of the sentence below it.
    sections: HTML by name; the first word is its address.
    script: JavaScript, the only one that the page may run, known by its hash.
    style: CSS beside that of the report.
  """
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  template = page_texts.read_text("report.html")
  return string.Template(template).substitute(
    title=html.escape(title),
    style=page_texts.read_text("report.css") + style,
    lead=lead,
    navigation="".join(
      f'<a href="#{_address(name)}">{name}</a>' for name in sections
    ),
    content="\n".join(
      f'<section id="{_address(name)}"><h2>{name}</h2>{body}</section>'
      for name, body in sections.items()
    ),
    script_source=f"'sha256-{digest}'" if script else "'none'",
    script=f"<script>{script}</script>" if script else "",
  )


def _address(name: str) -> str:
  return name.split()[0].lower()
