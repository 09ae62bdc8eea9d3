"""A Gradio Space: app.py starts it here, publish_space.py puts it on the Hub."""
