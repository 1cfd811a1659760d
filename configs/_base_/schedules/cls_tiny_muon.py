# The schedule of cls_tiny.py with Muon for matrices, but for the classifier's, and AdamW for all else.
_base_ = "./cls_tiny.py"
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="mmvisionllama.MuonWithAdamW", lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={"head.fc.weight": dict(muon=False)}),
)
