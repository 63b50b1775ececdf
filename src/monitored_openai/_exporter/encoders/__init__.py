"""Pure encoders: values to the bytes of a push."""
