"""Write the DigitScenes data set: real digits on real photographs, without a download."""

from mmvisionllama.cli.prepare_digitscenes import main

if __name__ == "__main__":
    raise SystemExit(main())
