"""What a person looks at: the page of a run, and the server that shows it on this machine only.

In: RUN or any scene file. Out: one self-contained HTML file. Its program is web/page.js, bundled at build time.
"""
