"""What is counted, declared once and run in every layer. Pure: no Django, no input or output."""
