"""A local page to look around in a library, listen, and decide about genres (`kg explore`).

Starlette, uvicorn and Jinja2, and not Streamlit: who may ask is decided before anything answers
(Host, Origin, a token), audio is served in ranges, a click runs one query and not the whole page
again, and 100,000 songs stay where they are instead of in the session of every tab.
"""
