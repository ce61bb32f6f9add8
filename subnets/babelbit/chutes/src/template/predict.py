def complete(model, tokenizer, prefix, context):
    import torch

    def setting(name, default):
        return os.environ.get(f"CHUTE_{name}", default)

    lines = [line for line in context.split(" EOF ") if line] + [prefix]
    added_tokens = int(setting("MAX_NEW_TOKENS", "24"))
    # A dialogue may exceed the model's context; its end matters most.
    room = max(1, getattr(model.config, "max_position_embeddings", 1024) - added_tokens)
    tokenizer.truncation_side = "left"
    inputs = tokenizer("\n".join(lines), return_tensors="pt", truncation=True, max_length=room).to(model.device)
    sampled = setting("DO_SAMPLE", "1") in {"1", "true", "yes"}
    options = {"do_sample": sampled}
    if sampled:
        options["temperature"] = float(setting("TEMPERATURE", "0.7"))
        options["top_p"] = float(setting("TOP_P", "0.95"))
        options["top_k"] = int(setting("TOP_K", "50"))
    with torch.no_grad():
        output = model.generate(
            **inputs,
            max_new_tokens=added_tokens,
            pad_token_id=tokenizer.eos_token_id,
            **options,
        )
    added = tokenizer.decode(output[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    added = added.split("\n", 1)[0]
    if not added.strip():
        added = setting("FALLBACK_COMPLETION", "...")
    return prefix + added
